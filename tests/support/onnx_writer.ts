import { BinaryWriter } from "@bufbuild/protobuf/wire";

/** A node of an ONNX graph; attributes are integers, lists of integers, or text. */
export interface OnnxNode {
  op: string;
  inputs: string[];
  output: string;
  attributes?: Record<string, number | number[] | string>;
}

export interface OnnxGraph {
  input: { name: string; dims: number[] };
  output: string;
  nodes: OnnxNode[];
  constants: Record<string, { dims: number[]; values: Float32Array | bigint[] }>;
}

const FLOAT = 1;
const INT64 = 7;

/** An ONNX file (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3). */
export function writeOnnx({ input, output, nodes, constants }: OnnxGraph): Uint8Array<ArrayBuffer> {
  const graph = new BinaryWriter();
  for (const node of nodes) message(graph, 1, (writer) => writeNode(writer, node));
  graph.tag(2, 2).string("graph");
  for (const [name, { dims, values }] of Object.entries(constants)) {
    message(graph, 5, (writer) => {
      for (const dim of dims) writer.tag(1, 0).int64(dim);
      const isFloat = values instanceof Float32Array;
      writer.tag(2, 0).int32(isFloat ? FLOAT : INT64).tag(8, 2).string(name);
      const data = isFloat ? values : BigInt64Array.from(values);
      writer.tag(9, 2).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    });
  }
  message(graph, 11, (writer) => writeValue(writer, input.name, input.dims));
  message(graph, 12, (writer) => writeValue(writer, output, []));
  const model = new BinaryWriter();
  model.tag(1, 0).int64(7);
  message(model, 7, (writer) => writer.raw(graph.finish()));
  message(model, 8, (writer) => writer.tag(2, 0).int64(11));
  return new Uint8Array(model.finish());
}

function message(to: BinaryWriter, field: number, write: (writer: BinaryWriter) => void): void {
  const writer = new BinaryWriter();
  write(writer);
  to.tag(field, 2).bytes(writer.finish());
}

function writeNode(writer: BinaryWriter, { op, inputs, output, attributes = {} }: OnnxNode): void {
  for (const name of inputs) writer.tag(1, 2).string(name);
  writer.tag(2, 2).string(output).tag(3, 2).string(`${op} of ${output}`).tag(4, 2).string(op);
  for (const [name, value] of Object.entries(attributes)) {
    message(writer, 5, (attribute) => {
      attribute.tag(1, 2).string(name);
      if (typeof value === "number") attribute.tag(3, 0).int64(value).tag(20, 0).int32(2);
      else if (typeof value === "string") attribute.tag(4, 2).string(value).tag(20, 0).int32(3);
      else {
        for (const item of value) attribute.tag(8, 0).int64(item);
        attribute.tag(20, 0).int32(7);
      }
    });
  }
}

function writeValue(writer: BinaryWriter, name: string, dims: number[]): void {
  writer.tag(1, 2).string(name);
  message(writer, 2, (type) =>
    message(type, 1, (tensor) => {
      tensor.tag(1, 0).int32(FLOAT);
      if (dims.length === 0) return;
      message(tensor, 2, (shape) => {
        for (const dim of dims) message(shape, 1, (dimension) => dimension.tag(1, 0).int64(dim));
      });
    }));
}
