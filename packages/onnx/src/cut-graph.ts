/**
 * Cuts a graph into stages that run one after the other, where values cross processes (`meanOverRanks`) or are wanted early. A pure function of any finished
 * graph, blocked layout and passes included; it runs nothing: `engine` does, with one session a stage.
 *
 * The level of a value is the number of crossings on the longest way to it. A stage computes what leaves the graph, or is sent, at one level, and of all the
 * rest only what that needs and no stage before it has: every node is in exactly one stage, the first that reads it.
 */
import { type NamedArrays, type NdArray } from '@coda-nets/core';
import type { Graph, Node, Value } from './graph.ts';
import { isMeanOverRanks, nameOfMean } from './kernels/mean-over-ranks.ts';
import { eliminateDeadCode } from './passes/eliminate-dead-code.ts';

/** A value that is sent, by the name of what is sent and of what comes back. */
export interface Crossing {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

export interface Stage {
  /** Its inputs and outputs have the names of the values. It may hold no node, where all that is sent is there from the start. */
  readonly graph: Graph;
  /** What is sent after it. */
  readonly crossings: readonly Crossing[];
}

export interface StagedGraph {
  /** At least one. Values are never given twice: what a stage reads is an input of the whole, a result of an earlier stage, shared, or came back. */
  readonly stages: readonly Stage[];
  /** The name under which each output of the whole is found. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Constants that several stages read, or that are sent: inputs of those, so that there is one copy. */
  readonly shared: NamedArrays;
}

/** Constants of fewer bytes each stage has for itself: shapes, axes, factors, which runtimes want to know when they compile. */
const SHARED_BYTES = 1024;

/** `early`: groups of outputs, each to be there before what later groups alone need; without any there is one stage a level. */
export function cutGraph(original: Graph, early: readonly (readonly string[])[] = []): StagedGraph {
  const graph = eliminateDeadCode(original);
  const { nodes, constants } = graph;
  const marks = nodes.filter(isMeanOverRanks);
  const plan = wantedByStage(graph, marks, early);

  const stageOf = new Map<Value, number>();
  for (const [k, { wanted }] of plan.entries()) {
    const needed = new Set(wanted);
    for (const node of nodes.toReversed()) {
      if (!needed.has(node.output) || stageOf.has(node.output) || isMeanOverRanks(node)) continue;
      stageOf.set(node.output, k);
      for (const value of node.inputs) if (value !== undefined) needed.add(value);
    }
  }
  const nodesOf = plan.map((): Node[] => []);
  for (const node of nodes) nodesOf[stageOf.get(node.output) ?? -1]?.push(node);

  const readers = new Map<Value, Set<number>>();
  for (const [k, own] of nodesOf.entries()) {
    for (const value of own.flatMap(({ inputs }) => inputs)) {
      if (value !== undefined) readers.set(value, (readers.get(value) ?? new Set()).add(k));
    }
  }
  const sent = new Set(marks.map(({ inputs }) => inputs[0] as Value));
  const isShared = ([value, { data }]: readonly [Value, NdArray]): boolean =>
    sent.has(value) || (data.byteLength > SHARED_BYTES && (readers.get(value)?.size ?? 0) > 1);
  const shared = new Map([...constants].filter(isShared));
  const nameOf = namer(graph);
  const left = new Set(Object.values(graph.outputs));
  /** What a stage reads and does not compute: the same value as an input, under its name. */
  const asInput = new Map<Value, Value>(graph.inputs.map((value) => [value, value]));
  const inputOf = (value: Value): Value => {
    if (!asInput.has(value)) asInput.set(value, { ...value, hint: nameOf(value) });
    return asInput.get(value) as Value;
  };

  const stages = nodesOf.map((own, k): Stage => {
    const isHere = (value: Value): boolean => stageOf.get(value) === k || (constants.has(value) && !shared.has(value));
    const read = new Set(own.flatMap(({ inputs }) => inputs.filter((value) => value !== undefined)));
    const given = own
      .map(({ output }) => output)
      .filter((value) => left.has(value) || sent.has(value) || [...(readers.get(value) ?? [])].some((reader) => reader !== k));
    return {
      graph: {
        inputs: [...read].filter((value) => !isHere(value)).map(inputOf),
        outputs: Object.fromEntries(given.map((value) => [nameOf(value), value])),
        constants: new Map([...constants].filter(([value]) => read.has(value) && isHere(value))),
        nodes: own.map((node) => ({
          ...node,
          inputs: node.inputs.map((value) => (value === undefined || isHere(value) ? value : inputOf(value))),
        })),
      },
      crossings: (plan[k] as StagePlan).marks.map((mark) => ({
        name: nameOfMean(mark),
        from: nameOf(mark.inputs[0] as Value),
        to: nameOf(mark.output),
      })),
    };
  });
  return {
    stages,
    outputs: Object.fromEntries(Object.entries(graph.outputs).map(([name, value]) => [name, nameOf(value)])),
    shared: Object.fromEntries([...shared].map(([value, array]) => [nameOf(value), array])),
  };
}

interface StagePlan {
  readonly wanted: readonly Value[];
  readonly marks: readonly Node[];
}

/** Level by level: what is sent, with the outputs that no group has, and then group by group. */
function wantedByStage({ nodes, outputs }: Graph, marks: readonly Node[], early: readonly (readonly string[])[]): readonly StagePlan[] {
  const levels = new Map<Value, number>();
  const levelOf = (value: Value | undefined): number => (value === undefined ? 0 : (levels.get(value) ?? 0));
  for (const node of nodes) levels.set(node.output, Math.max(0, ...node.inputs.map(levelOf)) + (isMeanOverRanks(node) ? 1 : 0));
  const came = new Set(marks.map(({ output }) => output));
  const last = Math.max(0, ...Object.values(outputs).map(levelOf));
  const groups = early.map((names) => new Set(names));
  const plan: StagePlan[] = [];
  for (let level = 0; level <= last; level++) {
    const leaving = Object.entries(outputs).filter(([, value]) => levelOf(value) === level && !came.has(value));
    const here = marks.filter(({ inputs }) => levelOf(inputs[0]) === level);
    const ungrouped = leaving.filter(([name]) => !groups.some((group) => group.has(name)));
    const first = [...here.map(({ inputs }) => inputs[0] as Value), ...ungrouped.map(([, value]) => value)];
    const grouped = groups.map((group) => leaving.filter(([name]) => group.has(name)).map(([, value]) => value));
    const stages = [{ wanted: first, marks: here }, ...grouped.map((wanted) => ({ wanted, marks: [] }))];
    plan.push(...stages.filter(({ wanted }) => wanted.length > 0));
  }
  return plan.length > 0 ? plan : [{ wanted: [], marks: [] }];
}

/** Inputs and outputs keep their names; what crosses between stages is numbered. */
function namer({ inputs, outputs, nodes }: Graph): (value: Value) => string {
  const names = new Map<Value, string>(inputs.map((value) => [value, value.hint as string]));
  const computed = new Set(nodes.map(({ output }) => output));
  for (const [name, value] of Object.entries(outputs)) if (computed.has(value)) names.set(value, name);
  const taken = new Set([...names.values(), ...Object.keys(outputs)]);
  let count = 0;
  return (value) => {
    let name = names.get(value);
    while (name === undefined || (!names.has(value) && taken.has(name))) name = `between/${count++}`;
    names.set(value, name);
    return name;
  };
}
