#!/usr/bin/env python3
"""Turns an ONNX export of the U²-Net family into the file that Cutcache serves.

What changes: only the manifest's output stays (the side outputs go), whatever depends on constants alone is computed here
(the exports carry hundreds of nodes that compute shapes), names of intermediate documentation are dropped, and a
convolution of joined tensors becomes the sum of their convolutions, since the joined copy is what takes most memory: ONNX
Runtime's WASM heap ends at 127 instead of 201 MB. What does not: the weights and the arithmetic, but for the order in which
products are summed, so that a mask stays what it was. That is checked with ONNX Runtime on random inputs and on the images
given; the largest difference is printed, and one above the tolerance is an error.

The same file in makes the same file out, byte for byte.

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
    """Drops every output but one, and the nodes and weights that nothing needs any more."""
    graph = model.graph
    kept = [output for output in graph.output if output.name == name]
    if not kept:
        raise SystemExit(f"the model has no output {name}, but {[output.name for output in graph.output]}")
    needed = {name}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    weights = [weight for weight in graph.initializer if weight.name in needed]
    # Old exports list the weights among the inputs, which keeps a runtime from folding them.
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
    """Gives the only input the shape 1×3×height×width: shapes are constants only where the input's is one."""
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, 3, height, width), strict=True):
        if dim.HasField("dim_value") and dim.dim_value != size:
            raise SystemExit(f"the model takes {[d.dim_value for d in dims]}, the manifest says {(1, 3, height, width)}")
        dim.dim_value = size


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Computes what depends on constants alone.

    ONNX Runtime's basic level does that and stays within standard operators; what its later levels do depends on the
    machine, and is left to the runtime that serves.
    """
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(folded)


def split_concatenations(model: onnx.ModelProto) -> int:
    """Replaces conv(concat(a, b)) by conv(a) + conv(b), each with its part of the weights, and returns how often.

    The same products are summed: a convolution adds up over its input's channels. The runtime fuses the addition (and an
    activation after it) into the last convolution, which then adds to the first one's result in place.
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
    """Undoes what the folding writes down about itself, and names the origin."""
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
    """As rembg does it: squeezed to the input's size with Lanczos, (x / scale − mean) / std, channels first."""
    from PIL import Image

    size = (manifest["input"]["width"], manifest["input"]["height"])
    norm = manifest["normalisation"]
    rgb = np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS), np.float64)
    scale = max(rgb.max(), 1e-6) if norm["scale"] == "max" else 255
    tensor = (rgb / scale - norm["mean"]) / norm["std"]
    return tensor.transpose(2, 0, 1)[None].astype(np.float32)


def compare(before: bytes, after: bytes, output: str, tensors: dict[str, np.ndarray], tolerance: float) -> None:
    """Runs both files on the same tensors. The differences are those of the model's output, before any stretching."""
    sessions = [ort.InferenceSession(model, providers=["CPUExecutionProvider"]) for model in (before, after)]
    worst = 0.0
    for name, tensor in tensors.items():
        old, new = (s.run([output], {s.get_inputs()[0].name: tensor})[0] for s in sessions)
        difference = float(np.abs(old - new).max())
        worst = max(worst, difference)
        print(f"  {name:24} {difference:.3g}{'  (every bit the same)' if old.tobytes() == new.tobytes() else ''}")
    print(f"largest difference: {worst:.3g}")
    if not worst <= tolerance:
        raise SystemExit(f"that is more than {tolerance:g}: the file was not written")


def describe(what: str, data: bytes, model: onnx.ModelProto) -> None:
    kinds = Counter(node.op_type for node in model.graph.node)
    opset = ", ".join(f"{entry.domain or 'onnx'} {entry.version}" for entry in model.opset_import)
    print(f"{what}: {len(data):,} bytes, {len(model.graph.node)} nodes, IR {model.ir_version}, opset {opset}")
    print("  " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print(f"  sha256:{hashlib.sha256(data).hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the upstream export")
    parser.add_argument("target", type=Path, help="where the prepared file goes")
    parser.add_argument("images", nargs="*", help="images to compare the masks of")
    parser.add_argument("--manifest", type=Path, required=True, help="the model's manifest (names, size, normalisation)")
    parser.add_argument("--random", type=int, default=4, metavar="N", help="random inputs to compare on (4)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest difference allowed (1e-4, a fortieth of a step of 8 bits)")
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
    print(f"split: {split_concatenations(model)} convolutions of joined tensors")
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
