/**
 * Reads ONNX files: those parts of its format that the compiler looks at
 * (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A constant tensor of the file. */
export interface Constant {
  readonly dims: number[];
  /** Of float32 data, where it lies in the file, in bytes. */
  readonly at?: number;
  /** The numbers, where they are few: of int64 data and float32 alike. */
  readonly values: number[];
}

export interface Node {
  readonly name: string;
  readonly op: string;
  readonly inputs: string[];
  readonly outputs: string[];
  readonly attributes: Record<string, number | number[] | string | Constant>;
}

export interface Graph {
  readonly nodes: Node[];
  readonly constants: Map<string, Constant>;
  /** The inputs that are no constants, with their shapes; an axis that is left open is 0. */
  readonly inputs: { name: string; dims: number[] }[];
  readonly outputs: string[];
}

/** Constants of more numbers than this are weights, and stay in the file. */
const FEW = 64;

const FLOAT = 1;
const INT64 = 7;

/** Calls `field` for each field of a message, until its end. */
function fields(reader: BinaryReader, field: (number: number, wireType: WireType) => boolean): void {
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (!field(number, wireType)) reader.skip(wireType);
  }
}

/** Repeated numbers come packed or one at a time. */
function numbers(reader: BinaryReader, wireType: WireType, read: (reader: BinaryReader) => number, to: number[]): void {
  if (wireType !== WireType.LengthDelimited) return void to.push(read(reader));
  const packed = new BinaryReader(reader.bytes());
  while (packed.pos < packed.len) to.push(read(packed));
}

const int64 = (reader: BinaryReader) => Number(reader.int64());
const float = (reader: BinaryReader) => reader.float();

/** @throws {Error} for what is no ONNX model. */
export function readOnnx(file: Uint8Array<ArrayBuffer>): Graph {
  let graph: Graph | undefined;
  const reader = new BinaryReader(file);
  fields(reader, (number) => {
    if (number !== 7) return false;
    graph = readGraph(reader.bytes());
    return true;
  });
  if (graph === undefined) throw new Error("the file has no graph: it is no ONNX model");
  return graph;
}

function readGraph(message: Uint8Array): Graph {
  const reader = new BinaryReader(message);
  const nodes: Node[] = [], outputs: string[] = [];
  const constants = new Map<string, Constant>();
  const inputs: { name: string; dims: number[] }[] = [];
  fields(reader, (number) => {
    if (number === 1) nodes.push(readNode(reader.bytes()));
    else if (number === 5) {
      const { name, constant } = readTensor(reader.bytes());
      constants.set(name, constant);
    } else if (number === 11) inputs.push(readValue(reader.bytes()));
    else if (number === 12) outputs.push(readValue(reader.bytes()).name);
    else return false;
    return true;
  });
  // Old files list the weights among the inputs.
  return { nodes, constants, inputs: inputs.filter(({ name }) => !constants.has(name)), outputs };
}

function readNode(message: Uint8Array): Node {
  const reader = new BinaryReader(message);
  const inputs: string[] = [], outputs: string[] = [];
  const attributes: Node["attributes"] = {};
  let name = "", op = "";
  fields(reader, (number) => {
    if (number === 1) inputs.push(reader.string());
    else if (number === 2) outputs.push(reader.string());
    else if (number === 3) name = reader.string();
    else if (number === 4) op = reader.string();
    else if (number === 5) Object.assign(attributes, readAttribute(reader.bytes()));
    else return false;
    return true;
  });
  return { name: name || outputs[0], op, inputs, outputs, attributes };
}

function readAttribute(message: Uint8Array): Node["attributes"] {
  const reader = new BinaryReader(message);
  const list: number[] = [];
  let name = "", value: number | string | Constant | undefined;
  fields(reader, (number, wireType) => {
    if (number === 1) name = reader.string();
    else if (number === 2) value = reader.float();
    else if (number === 3) value = int64(reader);
    else if (number === 4) value = new TextDecoder().decode(reader.bytes());
    else if (number === 5) value = readTensor(reader.bytes()).constant;
    else if (number === 7) numbers(reader, wireType, float, list);
    else if (number === 8) numbers(reader, wireType, int64, list);
    else return false;
    return true;
  });
  return { [name]: value ?? list };
}

function readTensor(message: Uint8Array): { name: string; constant: Constant } {
  const reader = new BinaryReader(message);
  const dims: number[] = [], values: number[] = [];
  let name = "", type = 0, raw: Uint8Array | undefined;
  fields(reader, (number, wireType) => {
    if (number === 1) numbers(reader, wireType, int64, dims);
    else if (number === 2) type = reader.int32();
    // float_data, packed, is laid out as raw_data is.
    else if (number === 4 && wireType === WireType.LengthDelimited) raw = reader.bytes();
    else if (number === 7) numbers(reader, wireType, int64, values);
    else if (number === 8) name = reader.string();
    else if (number === 9) raw = reader.bytes();
    else return false;
    return true;
  });
  if (raw === undefined) return { name, constant: { dims, values } };
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const [bytes, read] = type === INT64
    ? [8, (at: number) => Number(view.getBigInt64(at, true))] as const
    : [4, (at: number) => view.getFloat32(at, true)] as const;
  const count = raw.byteLength / bytes;
  if (count <= FEW) { for (let i = 0; i < count; i++) values.push(read(i * bytes)); }
  return { name, constant: { dims, values, ...(type === FLOAT && { at: raw.byteOffset }) } };
}

function readValue(message: Uint8Array): { name: string; dims: number[] } {
  const reader = new BinaryReader(message);
  const dims: number[] = [];
  let name = "";
  fields(reader, (number) => {
    if (number === 1) name = reader.string();
    else if (number === 2) { for (const shape of submessages(reader.bytes(), 1, 2, 1)) dims.push(dimension(shape)); }
    else return false;
    return true;
  });
  return { name, dims };
}

/** The messages at a path of field numbers: ValueInfo.type → tensor_type → shape → dim. */
function submessages(message: Uint8Array, ...path: number[]): Uint8Array[] {
  const [first, ...rest] = path;
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  fields(reader, (number, wireType) => {
    if (number !== first || wireType !== WireType.LengthDelimited) return false;
    found.push(reader.bytes());
    return true;
  });
  return rest.length === 0 ? found : found.flatMap((inner) => submessages(inner, ...rest));
}

function dimension(message: Uint8Array): number {
  const reader = new BinaryReader(message);
  let size = 0;
  fields(reader, (number) => {
    if (number !== 1) return false;
    size = int64(reader);
    return true;
  });
  return size;
}
