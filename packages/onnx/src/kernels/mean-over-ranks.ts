/** The mark of a value that crosses processes: a node that no runtime knows, at which `cutGraph` cuts. */
import { meanOverRanksKernel } from '@coda-nets/core';
import type { Graph, Node } from '../graph.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, type TracedArray } from '../traced-array.ts';

const DOMAIN = 'coda-nets';

/** Whether the node is such a mark. Its attribute `name` is the mark's. */
export const isMeanOverRanks = ({ op, domain }: Node): boolean => domain === DOMAIN && op === meanOverRanksKernel;

/** The names of a graph's marks, in the order of its nodes. */
export const meansOverRanks = ({ nodes }: Graph): readonly string[] => nodes.filter(isMeanOverRanks).map(nameOfMean);

export const nameOfMean = ({ attributes }: Node): string => (attributes['name'] as { string: string }).string;

/** Elementwise, so wherever the elements lie: every rank records the same graph. */
kernel<{ x: TracedArray }, { name: string }>(
  meanOverRanksKernel,
  ({ x }, { attrs: { name }, builder, refuse }) => {
    if (dtypeOf(x) !== 'float32') throw refuse('a mean over ranks is of real numbers', { expected: 'float32' });
    const { shape } = x.value;
    return { ...x, value: builder.emit(meanOverRanksKernel, [x.value], 'float32', shape, { name: { string: name } }, { domain: DOMAIN }) };
  },
  { blocked: true },
);
