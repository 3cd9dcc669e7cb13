/**
 * Whether the nodes or layers of a foreign model name each other and end: TensorFlow.js loops for ever over layers that wait for one another, and leaves out nodes
 * that read themselves.
 */
import { CodaError } from '@coda-nets/core';

type Json = Readonly<Record<string, unknown>>;

/** More than any model that is published has: 13,000. */
const MOST_NODES = 1_000_000;
const MOST_NAME_LETTERS = 4096;
/** Models within models. */
const MOST_DEPTH = 32;

/** Throws a CodaError of kind `malformed` that begins with `path`. */
export function checkTopology(path: string, format: 'layers-model' | 'graph-model', topology: Json): void {
  if (format === 'graph-model') return checkNodes(path, topology);
  const { model_config: config = topology } = topology;
  checkLayers(path, config, 0);
}

const malformed = (where: string, problem: string, got?: string): CodaError => new CodaError({ kind: 'malformed', where, problem, got });
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

function checkNodes(path: string, { node: nodes }: Json): void {
  if (!Array.isArray(nodes) || nodes.length > MOST_NODES) throw malformed(path, 'its nodes are no list');
  const reads = new Map<string, readonly string[]>();
  const loopEnds: string[] = [];
  for (const node of nodes as readonly unknown[]) {
    const { name, op, input = [] } = isObject(node) ? node : {};
    const where = `${path}: node ${short(name)}`;
    if (!isName(name) || !isName(op)) throw malformed(where, 'a node without a name or an operator');
    if (!Array.isArray(input) || !input.every((i) => typeof i === 'string')) throw malformed(where, 'its inputs are no list of names');
    if (reads.has(name)) throw malformed(where, 'two nodes have this name');
    // `^name` is a node that has to run before, `name:1` its second result
    const sources = (input as string[]).map((i) => i.replace(/^\^/, '').replace(/:\d+$/, ''));
    reads.set(name, sources);
    if (op === 'NextIteration') loopEnds.push(name);
  }
  for (const [name, sources] of reads) {
    const missing = sources.find((source) => !reads.has(source));
    if (missing !== undefined) throw malformed(`${path}: node ${short(name)}`, 'it reads a node that is not there', short(missing));
  }
  // a loop that says so is no defect of the file: tracing refuses it by its nodes
  for (const name of loopEnds) reads.set(name, []);
  checkOrder(path, 'nodes', reads);
}

/** A layer may be called several times: the n-th call is a node of its own, which reads calls of other layers. */
function checkLayers(path: string, model: unknown, depth: number): void {
  if (depth > MOST_DEPTH) throw malformed(path, `models within models, deeper than ${MOST_DEPTH}`);
  const config = isObject(model) ? model['config'] : undefined;
  // early files of sequential models have their layers at once
  const layers = Array.isArray(config) ? config : isObject(config) ? config['layers'] : undefined;
  if (!Array.isArray(layers)) return;
  if (layers.length > MOST_NODES) throw malformed(path, 'its layers are too many');
  const reads = new Map<string, readonly string[]>();
  for (const layer of layers as readonly unknown[]) {
    checkLayers(path, layer, depth + 1);
    if (!isObject(layer) || !Array.isArray(layer['inbound_nodes'])) continue;
    const { name, inbound_nodes: calls } = layer;
    const where = `${path}: layer ${short(name)}`;
    if (!isName(name)) throw malformed(where, 'a layer without a name');
    if (reads.has(callOf(name, 0))) throw malformed(where, 'two layers have this name');
    // an input layer is called without reading
    reads.set(callOf(name, 0), []);
    for (const [n, call] of (calls as readonly unknown[]).entries()) reads.set(callOf(name, n), sourcesOf(where, call));
  }
  for (const [name, sources] of reads) {
    const missing = sources.find((source) => !reads.has(source));
    if (missing !== undefined) throw malformed(`${path}: layer ${short(name)}`, 'it reads a layer that is not there', short(missing));
  }
  checkOrder(path, 'layers', reads);
}

const callOf = (name: string, call: number): string => (call === 0 ? name : `${name}, call ${call}`);

/** [[layer, call, tensor, …], …] */
function sourcesOf(where: string, call: unknown): readonly string[] {
  const refused = malformed(where, 'its inbound_nodes are no list of layers, calls and tensors');
  if (!Array.isArray(call)) throw refused;
  return call.map((source: unknown) => {
    const [layer, n] = Array.isArray(source) ? (source as readonly unknown[]) : [];
    if (!isName(layer) || !Number.isSafeInteger(n)) throw refused;
    return callOf(layer, n as number);
  });
}

/** In an order in which each comes after what it reads (Kahn, 1962), or an error that names one of a cycle. */
function checkOrder(path: string, what: string, reads: ReadonlyMap<string, readonly string[]>): void {
  const waiting = new Map([...reads].map(([name, sources]) => [name, sources.length]));
  const readers = new Map<string, string[]>();
  for (const [name, sources] of reads) {
    for (const source of sources) {
      const known = readers.get(source);
      if (known === undefined) readers.set(source, [name]);
      else known.push(name);
    }
  }
  const ready = [...waiting].filter(([, count]) => count === 0).map(([name]) => name);
  let done = 0;
  for (let name = ready.pop(); name !== undefined; name = ready.pop()) {
    done++;
    for (const reader of readers.get(name) ?? []) {
      const left = (waiting.get(reader) as number) - 1;
      waiting.set(reader, left);
      if (left === 0) ready.push(reader);
    }
  }
  if (done === reads.size) return;
  const cycle = [...waiting].find(([, count]) => count > 0)?.[0];
  throw malformed(path, `${what} that read each other in a cycle`, short(cycle));
}

const isName = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= MOST_NAME_LETTERS;
const short = (name: unknown): string => (typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : `of type ${typeof name}`);
