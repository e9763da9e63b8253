#!/usr/bin/env python3
"""Converts an ONNX export of the U²-Net family to the file that Cutcache serves.

- Only the manifest's output remains; the side outputs are removed.
- Everything that depends only on constants is computed here: the exports contain hundreds of nodes that compute shapes.
- Doc strings and metadata are removed.
- A convolution of concatenated tensors becomes the sum of their convolutions, because the concatenated copy takes the most
  memory: ONNX Runtime's WASM heap grows to 127 MB instead of 201 MB.

Weights and arithmetic stay the same except for the order in which products are summed, so masks do not change. This is
checked with ONNX Runtime on random inputs and on the given images. The largest difference is printed, and a difference above
the tolerance is an error.

The same input file always gives the same output file, byte for byte.

    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0
    python tools/prepare_model.py u2netp.onnx static/model.onnx --manifest static/model.json tests/fixtures/*.jpg
"""

# Requirements: numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0 (the last for images only)

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort


def keep_output(model: onnx.ModelProto, name: str) -> None:
    """Removes every output but one, and the nodes and weights that are no longer needed."""
    graph = model.graph
    kept = [output for output in graph.output if output.name == name]
    if not kept:
        raise SystemExit(f"the model has no output {name}; its outputs are {[output.name for output in graph.output]}")
    needed = {name}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    weights = [weight for weight in graph.initializer if weight.name in needed]
    # Old exports list the weights among the inputs, which prevents a runtime from folding them.
    inputs = [i for i in graph.input if i.name in needed and i.name not in {weight.name for weight in weights}]
    replace(graph.node, reversed(nodes))
    replace(graph.initializer, weights)
    replace(graph.input, inputs)
    replace(graph.output, kept)
    del graph.value_info[:]


def replace(field, values) -> None:
    values = list(values)
    del field[:]
    field.extend(values)


def fix_shape(model: onnx.ModelProto, width: int, height: int) -> None:
    """Gives the only input the fixed shape 1×3×height×width, without which no other shape is constant."""
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, 3, height, width), strict=True):
        if dim.HasField("dim_value") and dim.dim_value != size:
            raise SystemExit(f"the model's input is {[d.dim_value for d in dims]}, but the manifest says {(1, 3, height, width)}")
        dim.dim_value = size


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Computes everything that depends only on constants.

    ONNX Runtime's basic level does this and uses only standard operators. The higher levels depend on the machine, so they
    are left to the runtime of the server.
    """
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(folded)


def split_concatenations(model: onnx.ModelProto) -> int:
    """Replaces conv(concat(a, b)) with conv(a) + conv(b), each with its part of the weights. Returns the number of times.

    The same products are summed, because a convolution sums over its input's channels. The runtime fuses the addition (and
    an activation after it) into the last convolution, which then adds to the first one's result in place.
    """
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in (*inferred.value_info, *graph.input)
        if len(value.type.tensor_type.shape.dim) > 1
    }
    weights = {weight.name: weight for weight in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    joins = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Concat" and node.attribute[0].i == 1 and uses[node.output[0]] == 1
    }
    nodes: list[onnx.NodeProto] = []
    split: set[str] = set()
    for node in graph.node:
        join = joins.get(node.input[0]) if node.op_type == "Conv" and uses[node.input[1]] == 1 else None
        grouped = any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute)
        if join is None or grouped:
            nodes.append(node)
            continue
        kernel = onnx.numpy_helper.to_array(weights[node.input[1]])
        bounds = np.cumsum([channels[name] for name in join.input])[:-1]
        total = ""
        for i, (name, part) in enumerate(zip(join.input, np.split(kernel, bounds, axis=1), strict=True)):
            weight = f"{node.input[1]}_{i}"
            graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(part), weight))
            last = i == len(join.input) - 1
            product = onnx.helper.make_node(
                "Conv", [name, weight, *(node.input[2:] if i == 0 else [])], [f"{node.output[0]}_{i}"], f"{node.name}_{i}"
            )
            product.attribute.extend(node.attribute)
            nodes.append(product)
            if i == 0:
                total = product.output[0]
                continue
            subtotal = node.output[0] if last else f"{node.output[0]}_sum_{i}"
            nodes.append(onnx.helper.make_node("Add", [product.output[0], total], [subtotal], f"{node.name}_sum_{i}"))
            total = subtotal
        graph.initializer.remove(weights[node.input[1]])
        split.add(join.name)
    replace(graph.node, [node for node in nodes if node.name not in split])
    return len(split)


def tidy(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Removes the metadata that folding adds, and restores the origin."""
    used = {node.domain for node in model.graph.node}
    replace(model.opset_import, [opset for opset in model.opset_import if opset.domain in used])
    model.ir_version = original.ir_version
    model.producer_name = original.producer_name
    model.producer_version = original.producer_version
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""


def serialise(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def read_image(path: str, manifest: dict) -> np.ndarray:
    """Reads an image like rembg: resized to the input's size with Lanczos, (x / scale − mean) / std, channels first."""
    from PIL import Image

    size = (manifest["input"]["width"], manifest["input"]["height"])
    norm = manifest["normalisation"]
    rgb = np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float64)
    scale = max(rgb.max(), 1e-6) if norm["scale"] == "max" else 255
    tensor = (rgb / scale - norm["mean"]) / norm["std"]
    return tensor.transpose(2, 0, 1)[None].astype(np.float32)


def compare(before: bytes, after: bytes, output: str, tensors: dict[str, np.ndarray], tolerance: float) -> None:
    """Runs both files on the same tensors, and compares the raw outputs, before any stretching."""
    sessions = [ort.InferenceSession(model, providers=["CPUExecutionProvider"]) for model in (before, after)]
    worst = 0.0
    for name, tensor in tensors.items():
        old, new = (s.run([output], {s.get_inputs()[0].name: tensor})[0] for s in sessions)
        difference = float(np.abs(old - new).max())
        worst = max(worst, difference)
        print(f"  {name:24} {difference:.3g}{'  (identical)' if old.tobytes() == new.tobytes() else ''}")
    print(f"largest difference: {worst:.3g}")
    if not worst <= tolerance:
        raise SystemExit(f"this exceeds the tolerance of {tolerance:g}: the file was not written")


def describe(name: str, data: bytes, model: onnx.ModelProto) -> None:
    kinds = Counter(node.op_type for node in model.graph.node)
    opset = ", ".join(f"{entry.domain or 'onnx'} {entry.version}" for entry in model.opset_import)
    print(f"{name}: {len(data):,} bytes, {len(model.graph.node)} nodes, IR {model.ir_version}, opset {opset}")
    print("  " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print(f"  sha256:{hashlib.sha256(data).hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the upstream export")
    parser.add_argument("target", type=Path, help="the prepared file")
    parser.add_argument("images", nargs="*", help="images to compare on")
    parser.add_argument("--manifest", type=Path, required=True, help="the model's manifest (names, size, normalisation)")
    parser.add_argument("--random", type=int, default=4, metavar="N", help="number of random inputs to compare on (4)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="the largest difference allowed (1e-4, a fortieth of an 8-bit step)")
    args = parser.parse_intermixed_args()

    manifest = json.loads(args.manifest.read_text(encoding="utf-8"))
    width, height = manifest["input"]["width"], manifest["input"]["height"]
    before = args.source.read_bytes()
    original = onnx.load_from_string(before)
    output = manifest.get("output", {}).get("name") or original.graph.output[0].name
    describe("before", before, original)

    model = onnx.load_from_string(before)
    keep_output(model, output)
    fix_shape(model, width, height)
    model = fold(model)
    print(f"split: {split_concatenations(model)} convolutions of concatenated tensors")
    tidy(model, original)
    after = serialise(model)
    describe("after", after, model)

    random = np.random.default_rng(0)
    tensors = {f"random {i}": random.standard_normal((1, 3, height, width), np.float32) for i in range(args.random)}
    tensors |= {Path(path).name: read_image(path, manifest) for path in args.images}
    compare(before, after, output, tensors, args.tolerance)

    args.target.write_bytes(after)
    print(f"written: {args.target}")


if __name__ == "__main__":
    sys.exit(main())
