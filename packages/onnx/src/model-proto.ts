/** The one module that knows the wire format: a graph becomes the bytes of an ONNX ModelProto, and a file's bytes tell what it takes and gives. */
import { CodaError, type DType, type NdArray } from '@coda-nets/core';
import onnxProto from 'onnx-proto';
import type { Attribute, Dim, Graph, Value } from './graph.ts';
import { giveNames } from './give-names.ts';

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
const MAX_MODEL_BYTES = 2 ** 31 - 1;

export interface ModelOptions {
  /** Default 17: understood by every runtime of the last years, and by the checker of Debian 12. */
  readonly opset?: number;
  readonly graphName?: string;
  readonly producerVersion?: string;
  readonly docString?: string;
  /** Read by runtimes as custom metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export function encodeModel(graph: Graph, options: ModelOptions = {}): Uint8Array {
  const { opset = 17, graphName = 'graph', producerVersion = '', docString = '', metadata = {} } = options;
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
  const weightBytes = [...graph.constants.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  if (weightBytes > MAX_MODEL_BYTES) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'encodeModel',
      problem: 'the weights are larger than one ONNX file can hold',
      expected: `at most ${MAX_MODEL_BYTES} bytes`,
      got: `${weightBytes}`,
    });
  }
  const domains = [...new Set(graph.nodes.flatMap(({ domain }) => (domain === undefined ? [] : [domain])))];
  const model = onnx.ModelProto.create({
    irVersion: 8,
    producerName: 'coda-nets',
    producerVersion,
    docString,
    opsetImport: [{ domain: '', version: opset }, ...domains.map((domain) => ({ domain, version: 1 }))],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: graphName,
      input: graph.inputs.map(valueInfo),
      output: Object.values(graph.outputs).map(valueInfo),
      initializer: [...graph.constants].map(([value, array]) => tensorProto(nameOf(value), array)),
      node: graph.nodes.map(({ op, domain, inputs, output, outputIndex = 0, attributes }) => ({
        opType: op,
        ...(domain !== undefined && { domain }),
        name: `${nameOf(output)}:node`,
        input: inputs.map(nameOf),
        output: [...Array.from({ length: outputIndex }, (_, i) => `${nameOf(output)}:unread${i}`), nameOf(output)],
        attribute: Object.entries(attributes).map(([name, a]) => ({ name, ...attributeProto(a) })),
      })),
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
    return { name: value.name ?? '', dtype, shape };
  };
  return {
    inputs: graph.input.map(info),
    outputs: graph.output.map(info),
    metadata: Object.fromEntries((model.metadataProps ?? []).map(({ key, value }) => [key ?? '', value ?? ''])),
    opset: Number(model.opsetImport?.find(({ domain }) => !domain)?.version ?? 0),
  };
}
