/** The one module that knows the wire format: a graph becomes the bytes of an ONNX ModelProto, and a file's bytes tell what it takes and gives. */
import { CodaError, type DType, type NdArray } from '@coda-nets/core';
import onnxProto from 'onnx-proto';
import type { Attribute, Dim, Graph, Value } from './graph.ts';
import { externalDataOf, type ExternalData } from './external-data.ts';
import { giveNames } from './give-names.ts';
import { operators } from './operators.ts';
import { keepPadsApart } from './passes/keep-pads-apart.ts';
import { DEFAULT_OPSET, irVersionOf, toOpset } from './passes/to-opset.ts';

const { onnx } = onnxProto;
const dataTypes = onnx.TensorProto.DataType;
const attributeTypes = onnx.AttributeProto.AttributeType;

const dataTypeOf: Record<DType, number> = {
  float32: dataTypes.FLOAT,
  float64: dataTypes.DOUBLE,
  int8: dataTypes.INT8,
  int16: dataTypes.INT16,
  int32: dataTypes.INT32,
  int64: dataTypes.INT64,
  uint8: dataTypes.UINT8,
  uint16: dataTypes.UINT16,
  uint32: dataTypes.UINT32,
  uint64: dataTypes.UINT64,
  bool: dataTypes.BOOL,
};

/** protobuf's own limit; a larger model needs external data. */
export const MAX_MODEL_BYTES = 2 ** 31 - 1;
/** Smaller constants are shapes, axes and factors, which checkers want to see. */
const INSIDE_BYTES = 1024;
/** Weights begin where a page of memory does, so that runtimes can map them. */
const DATA_ALIGNMENT = 4096;
/** Operating systems do not write more than 2 GB at once. */
const PIECE_BYTES = 2 ** 26;

export interface ModelOptions {
  /** 17 to 21. Default 17: understood by every runtime of the last years, and by the checker of Debian 12. */
  readonly opset?: number;
  readonly graphName?: string;
  readonly producerVersion?: string;
  readonly docString?: string;
  /** Read by runtimes as custom metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A model whose large weights are in a file beside it. */
export interface ModelWithData {
  readonly model: Uint8Array;
  /** The other file, piece by piece; the weights are not copied. */
  readonly data: Iterable<Uint8Array>;
  readonly dataBytes: number;
}

/** Throws a CodaError for weights beyond what one file can hold. The same graph and options give the same bytes. */
export function encodeModel(graph: Graph, options: ModelOptions = {}): Uint8Array {
  const bytes = weightBytes(graph);
  if (bytes > MAX_MODEL_BYTES) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'encodeModel',
      problem: 'the weights are larger than one ONNX file can hold',
      expected: `at most ${MAX_MODEL_BYTES} bytes`,
      got: `${bytes}`,
      hint: 'Write them into a file beside it: encodeModelWithData.',
    });
  }
  return encode(graph, options, tensorProto);
}

/** The same, with all weights of more than 1024 bytes in a file that is to stand beside the model's under the name `location`. */
export function encodeModelWithData(graph: Graph, location: string, options: ModelOptions = {}): ModelWithData {
  const pieces: Uint8Array[] = [];
  let offset = 0;
  const model = encode(graph, options, (name, array) => {
    const { rawData: bytes, ...proto } = tensorProto(name, array);
    if (bytes.byteLength <= INSIDE_BYTES) return { ...proto, rawData: bytes };
    const gap = -offset & (DATA_ALIGNMENT - 1);
    if (gap > 0) pieces.push(new Uint8Array(gap));
    const at = offset + gap;
    for (let from = 0; from < bytes.length; from += PIECE_BYTES) pieces.push(bytes.subarray(from, from + PIECE_BYTES));
    offset = at + bytes.byteLength;
    return external(proto, { location, offset: String(at), length: String(bytes.byteLength) });
  });
  return { model, data: pieces, dataBytes: offset };
}

export interface ModelInMemory {
  /** The bytes of the model's protobuf, whose large weights are elsewhere. */
  readonly model: Uint8Array;
  /** The elsewhere: memory of the graph's own constants, by the name under which the model looks for it. */
  readonly weights: Readonly<Record<string, Uint8Array>>;
}

/** The same for a runtime in this process that takes weights by reference: nothing of more than 1024 bytes is copied. */
export function encodeModelInMemory(graph: Graph, options: ModelOptions = {}): ModelInMemory {
  const weights: Record<string, Uint8Array> = {};
  const model = encode(graph, options, (name, array) => {
    const { rawData: bytes, ...proto } = tensorProto(name, array);
    if (bytes.byteLength <= INSIDE_BYTES) return { ...proto, rawData: bytes };
    const location = `weights/${Object.keys(weights).length}`;
    weights[location] = bytes;
    return external(proto, { location, offset: '0', length: String(bytes.byteLength) });
  });
  return { model, weights };
}

const external = (proto: object, place: Readonly<Record<string, string>>): Tensor => ({
  ...proto,
  dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
  externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
});

/** What the constants of a graph take. */
export const weightBytes = (graph: Graph): number => [...graph.constants.values()].reduce((sum, { data }) => sum + data.byteLength, 0);

type Tensor = Parameters<typeof onnx.TensorProto.create>[0];

function encode(original: Graph, options: ModelOptions, initializer: (name: string, array: NdArray) => Tensor): Uint8Array {
  const { opset = DEFAULT_OPSET, graphName = 'graph', producerVersion = '', docString = '', metadata = {} } = options;
  const irVersion = irVersionOf(opset);
  const graph = toOpset(keepPadsApart(original), opset);
  const names = giveNames(graph);
  const nameOf = (value: Value | undefined): string => (value === undefined ? '' : (names.get(value) as string));
  const valueInfo = (value: Value) => ({
    name: nameOf(value),
    type: {
      tensorType: {
        elemType: dataTypeOf[value.dtype],
        shape: { dim: value.shape.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) },
      },
    },
  });
  const domains = [...new Set(graph.nodes.flatMap(({ domain }) => (domain === undefined ? [] : [domain])))];
  const model = onnx.ModelProto.create({
    irVersion,
    producerName: 'coda-nets',
    producerVersion,
    docString,
    opsetImport: [{ domain: '', version: opset }, ...domains.map((domain) => ({ domain, version: 1 }))],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: graphName,
      input: graph.inputs.map(valueInfo),
      output: Object.values(graph.outputs).map(valueInfo),
      initializer: [...graph.constants].map(([value, array]) => initializer(nameOf(value), array) as object),
      node: operators(graph.nodes).map(({ op, domain, inputs, outputs, attributes }) => {
        const name = nameOf(outputs.find((output) => output !== undefined));
        return {
          opType: op,
          ...(domain !== undefined && { domain }),
          name,
          input: inputs.map(nameOf),
          output: outputs.map((output, i) => (output === undefined ? `${name}:unread${i}` : nameOf(output))),
          attribute: Object.entries(attributes).map(([key, a]) => ({ name: key, ...attributeProto(a) })),
        };
      }),
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

function attributeProto(a: Attribute) {
  if ('ints' in a) return { type: attributeTypes.INTS, ints: [...a.ints] };
  if ('int' in a) return { type: attributeTypes.INT, i: a.int };
  if ('string' in a) return { type: attributeTypes.STRING, s: new TextEncoder().encode(a.string) };
  return { type: attributeTypes.FLOAT, f: a.float };
}

/** Little-endian raw data, as every machine that Node runs on has it. */
function tensorProto(name: string, { dtype, shape, data }: NdArray) {
  return {
    name,
    dims: [...shape],
    dataType: dataTypeOf[dtype],
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

export interface ArrayInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export interface ModelInfo {
  readonly inputs: readonly ArrayInfo[];
  readonly outputs: readonly ArrayInfo[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly opset: number;
  /** Weights that are in other files. */
  readonly externalData: readonly ExternalData[];
}

/** Inputs, outputs and metadata of an ONNX file. Throws a CodaError of kind `malformed` that names the file. */
export function readModelInfo(bytes: Uint8Array, where: string): ModelInfo {
  const malformed = (problem: string, cause?: unknown) => new CodaError({ kind: 'malformed', where, problem, cause });
  let model: ReturnType<typeof onnx.ModelProto.decode>;
  try {
    model = onnx.ModelProto.decode(bytes);
  } catch (cause) {
    throw malformed('not an ONNX file', cause);
  }
  const { graph } = model;
  if (!graph?.input?.length || !graph.output?.length) throw malformed('not an ONNX file: it has no graph with inputs and outputs');
  const info = (value: NonNullable<typeof graph.input>[number]): ArrayInfo => {
    const tensor = value.type?.tensorType;
    const dtype = (Object.keys(dataTypeOf) as DType[]).find((d) => dataTypeOf[d] === tensor?.elemType);
    if (dtype === undefined) throw malformed(`"${value.name}" has a type that is not read here (data type ${tensor?.elemType})`);
    const shape = (tensor?.shape?.dim ?? []).map((d): Dim => d.dimParam || Number(d.dimValue ?? 0));
    const size = shape.find((d) => typeof d === 'number' && (!Number.isSafeInteger(d) || d < 0));
    if (size !== undefined) throw malformed(`"${value.name}" has the size ${size}`);
    return { name: value.name ?? '', dtype, shape };
  };
  return {
    inputs: graph.input.map(info),
    outputs: graph.output.map(info),
    metadata: Object.fromEntries((model.metadataProps ?? []).map(({ key, value }) => [key ?? '', value ?? ''])),
    opset: Number(model.opsetImport?.find(({ domain }) => !domain)?.version ?? 0),
    externalData: (graph.initializer ?? [])
      .filter(({ dataLocation }) => dataLocation === onnx.TensorProto.DataLocation.EXTERNAL)
      .map((tensor) => {
        const entries = (tensor.externalData ?? []).map(({ key, value }) => [key ?? '', value ?? ''] as const);
        const dtype = (Object.keys(dataTypeOf) as DType[]).find((d) => dataTypeOf[d] === tensor.dataType);
        return externalDataOf({ name: tensor.name ?? '', dtype, dims: (tensor.dims ?? []).map(Number), entries }, where);
      }),
  };
}

/** The values a file computes, in its own order, by the names of the nodes' outputs. */
export interface Probe {
  readonly bytes: Uint8Array;
  readonly computed: readonly string[];
}

/** The same file with those of `names` that it computes, all float32, as outputs too, so that a runtime shows what happens inside. */
export function withOutputs(bytes: Uint8Array, names: ReadonlySet<string>): Probe {
  const model = onnx.ModelProto.decode(bytes);
  const { graph } = model;
  const computed = (graph?.node ?? []).flatMap(({ output }) => output ?? []);
  const known = new Set((graph?.output ?? []).map(({ name }) => name));
  const inside = computed.filter((name) => names.has(name) && !known.has(name));
  const type = { tensorType: { elemType: dataTypes.FLOAT } };
  graph?.output?.push(...inside.map((name) => onnx.ValueInfoProto.create({ name, type })));
  return { bytes: onnx.ModelProto.encode(model).finish(), computed };
}
