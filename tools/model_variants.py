#!/usr/bin/env python3
"""Creates variants of a prepared model with less arithmetic, for `deno task bench models` to measure.

    int8        the selected convolutions use 8-bit integers (static QDQ, per channel); everything else stays float32
    factorise   each selected convolution becomes one with RANK channels, followed by a 1×1 convolution back to the original
                number of channels: the principal components of its outputs over the given images (Zhang et al., Accelerating
                Very Deep Convolutional Networks for Classification and Detection, 2015, section 3.1, without the nonlinearity)
    winograd    each selected 3×3 convolution uses Winograd's minimal algorithm F(4×4, 3×3) (Lavin and Gray, Fast Algorithms
                for Convolutional Neural Networks, 2016): the same masks with less than half the multiplications

The images calibrate `int8` and `factorise`, each as it is and mirrored. Do not evaluate the result on any of them. The same
input files always give the same output file, byte for byte. A manifest is written next to it: the manifest of the prepared
model with another name and digest.

    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0
    python tools/model_variants.py int8 static/model.onnx /tmp/u2netp-int8.onnx --manifest static/model.json \\
        tests/fixtures/astronaut.jpg tests/fixtures/chelsea.jpg tests/fixtures/coffee.jpg tests/fixtures/rocket.jpg
    deno task bench models --files /tmp/u2netp-int8.onnx
"""

# Requirements: numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from prepare_model import describe, read_image, replace, serialise

# The convolutions with the most multiplications, by their names in the upstream export: 16 of the 19.8 billion of u2netp.
HEAVIEST = ("Conv_810", "Conv_942", "Conv_132", "Conv_680", "Conv_812", "Conv_2", "Conv_136")


def parts(model: onnx.ModelProto, names: list[str]) -> list[onnx.NodeProto]:
    """The convolutions with these names, and the parts that `prepare_model.py` splits them into (`NAME_0`, `NAME_1`)."""
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and any(node.name == name or node.name[: -len("_0")] == name for name in names)
    ]


class Tensors(CalibrationDataReader):
    def __init__(self, name: str, tensors: list[np.ndarray]):
        self.feeds = iter([{name: tensor} for tensor in tensors])

    def get_next(self):
        return next(self.feeds, None)


def int8(model: onnx.ModelProto, names: list[str], tensors: list[np.ndarray]) -> onnx.ModelProto:
    """Scales are from the observed minimum and maximum. Activations are unsigned, weights signed with a scale per channel."""
    model = onnx.version_converter.convert_version(model, 13)  # the first with DequantizeLinear per channel
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        quantize_static(
            before,
            after,
            Tensors(model.graph.input[0].name, tensors),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=[node.name for node in parts(model, names)],
        )
        return onnx.load(after)


def run(model: onnx.ModelProto, outputs: list[str], tensor: np.ndarray) -> list[np.ndarray]:
    """The values of intermediate tensors."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    replace(probe.graph.output, [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs])
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(outputs, {model.graph.input[0].name: tensor})


def factorise(model: onnx.ModelProto, names: list[str], tensors: list[np.ndarray], rank: int) -> onnx.ModelProto:
    """y = Wx + b becomes P(PᵀWx) + b', where the columns of P are the first principal components of y."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    chosen = parts(model, names)
    # The parts of a split convolution count as one here, because it is the sum of their outputs that has few components.
    totals = {name: [node for node in chosen if node.name == name or node.name[: -len("_0")] == name] for name in names}
    outputs = {}
    for name, nodes in totals.items():
        last = nodes[-1].output[0]
        sums = [node.output[0] for node in model.graph.node if node.op_type == "Add" and last in node.input]
        outputs[name] = sums[0] if len(nodes) > 1 else last
    moments = {name: [0, 0.0, 0.0] for name in names}
    for tensor in tensors:
        for name, value in zip(names, run(model, [outputs[name] for name in names], tensor), strict=True):
            y = value[0].reshape(value.shape[1], -1).astype(np.float64)
            moments[name][0] += y.shape[1]
            moments[name][1] += y.sum(axis=1)
            moments[name][2] += y @ y.T
    renamed = {}
    extra: dict[str, list[onnx.NodeProto]] = {}
    for name, (count, total, square) in moments.items():
        mean = total / count
        energy, vectors = np.linalg.eigh(square / count - np.outer(mean, mean))
        basis = vectors[:, ::-1][:, :rank]
        print(f"  {name}: {rank} of {len(mean)} components have {energy[::-1][:rank].sum() / energy.sum():.5f} of the variance")
        for node in totals[name]:
            kernel = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
            small = np.tensordot(basis.T, kernel, axes=1).astype(np.float32)
            weights[node.input[1]].CopyFrom(numpy_helper.from_array(small, node.input[1]))
            if len(node.input) > 2:
                bias = numpy_helper.to_array(weights[node.input[2]]).astype(np.float64)
                reduced = basis.T @ (bias - mean)
                model.graph.initializer.append(numpy_helper.from_array(reduced.astype(np.float32), f"{name}_rank_b"))
                node.input[2] = f"{name}_rank_b"
        model.graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(basis.astype(np.float32)[:, :, None, None]), f"{name}_back_w")
        )
        model.graph.initializer.append(numpy_helper.from_array(mean.astype(np.float32), f"{name}_back_b"))
        output = outputs[name]
        renamed[output] = f"{output}_rank"
        extra[output] = [
            helper.make_node("Conv", [f"{output}_rank", f"{name}_back_w", f"{name}_back_b"], [output], f"{name}_back")
        ]
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.output[0] in renamed:
            following = extra[node.output[0]]
            node.output[0] = renamed[node.output[0]]
            nodes.extend(following)
    replace(model.graph.node, nodes)
    return drop_unused(model)


# Lavin and Gray, section 4.3.
INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float64) / 24
OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64)


def winograd(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """In standard operators: a strided 6×6 convolution computes the 36 transforms of each 6×6 tile, a matrix product for each
    transform mixes the channels, and a strided transposed convolution computes 4×4 pixels from each 36."""
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *graph.input, *graph.output)
    }
    weights = {weight.name: weight for weight in graph.initializer}
    chosen = {node.name for node in parts(model, names)}
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        if name not in weights:
            weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
            graph.initializer.append(weights[name])
        return name

    def shape(*sizes: int) -> str:
        return constant("shape_" + "_".join(map(str, sizes)), np.array(sizes, np.int64))

    constant("winograd_input", np.einsum("ai,bj->abij", INPUT, INPUT).reshape(36, 1, 6, 6).astype(np.float32))
    constant("winograd_output", np.einsum("ya,xb->abyx", OUTPUT, OUTPUT).reshape(36, 1, 4, 4).astype(np.float32))
    for node in graph.node:
        if node.name not in chosen:
            nodes.append(node)
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
        (outputs, inputs), (_, _, height, width) = kernel.shape[:2], shapes[node.input[0]]
        rows, columns = height // 4, width // 4
        transformed = np.einsum("ai,ocij,bj->aboc", KERNEL, kernel, KERNEL).reshape(36, outputs, inputs)
        value = node.input[0]

        def step(operator: str, *others: str, output: str = "", **attributes) -> str:
            result = output or f"{node.name}_{operator}_{len(nodes)}"
            operands = [*others, value] if operator == "MatMul" else [value, *others]
            nodes.append(helper.make_node(operator, operands, [result], result, **attributes))
            return result

        value = step("Reshape", shape(inputs, 1, height, width))
        value = step("Conv", "winograd_input", kernel_shape=[6, 6], strides=[4, 4], pads=[1, 1, 1, 1])
        value = step("Transpose", perm=[1, 0, 2, 3])
        value = step("Reshape", shape(36, inputs, rows * columns))
        value = step("MatMul", constant(f"{node.name}_winograd", transformed.astype(np.float32)))
        value = step("Transpose", perm=[1, 0, 2])
        value = step("Reshape", shape(outputs, 36, rows, columns))
        value = step("ConvTranspose", "winograd_output", kernel_shape=[4, 4], strides=[4, 4])
        biased = len(node.input) > 2
        value = step("Reshape", shape(1, outputs, height, width), output="" if biased else node.output[0])
        if biased:
            bias = numpy_helper.to_array(weights[node.input[2]]).reshape(1, outputs, 1, 1)
            step("Add", constant(f"{node.name}_bias", bias), output=node.output[0])
    replace(graph.node, nodes)
    return drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    used = {name for node in model.graph.node for name in node.input}
    replace(model.graph.initializer, [weight for weight in model.graph.initializer if weight.name in used])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=["int8", "factorise", "winograd"])
    parser.add_argument("source", type=Path, help="a file from prepare_model.py")
    parser.add_argument("target", type=Path, help="the variant, NAME.onnx; NAME.json is written next to it")
    parser.add_argument("images", nargs="*", help="images for calibration")
    parser.add_argument("--manifest", type=Path, required=True, help="the source's manifest")
    parser.add_argument("--convolutions", nargs="+", metavar="NAME", default=HEAVIEST, help="names in the upstream export (the seven heaviest)")
    parser.add_argument("--rank", type=int, default=32, help="number of channels between the two convolutions of factorise (32)")
    args = parser.parse_intermixed_args()

    manifest = json.loads(args.manifest.read_text(encoding="utf-8"))
    model = onnx.load(args.source)
    names = [name for name in args.convolutions if parts(model, [name])]
    print(f"convolutions: {' '.join(names)}")
    if args.variant != "winograd" and not args.images:
        raise SystemExit(f"{args.variant} needs images for calibration")
    tensors = [read_image(path, manifest) for path in args.images]
    tensors += [np.ascontiguousarray(tensor[..., ::-1]) for tensor in tensors]
    if args.variant == "int8":
        model = int8(model, names, tensors)
    elif args.variant == "factorise":
        model = factorise(model, names, tensors, args.rank)
    else:
        model = winograd(model, names)
    del model.metadata_props[:]
    data = serialise(model)
    describe(args.target.name, data, model)
    args.target.write_bytes(data)
    manifest |= {"name": args.target.stem, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}
    args.target.with_suffix(".json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
