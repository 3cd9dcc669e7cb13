/** What may be said of a stack of units, in a config or a call: its layers, norm and ε. The one place that checks them. */
import * as v from 'valibot';
import { edauBounds, isEdauBound, type EdauBound } from './edau-conv.ts';
import type { DauNorm } from './dau-conv.ts';
import { largestPadding } from './patches.ts';
import { codaEpsilonSchema, type UnitKind } from './unit-epsilon.ts';

/** The unit of every layer: `sq` and `l2` are DAUs; `frobenius`, `spectral` and `product` are eDAUs (a reconstruction), which have no `b`. */
export type CodaNorm = DauNorm | EdauBound;
/** All of them, the default first. */
export const codaNorms = ['sq', 'l2', ...edauBounds] as const satisfies readonly CodaNorm[];

export function unitKindOf(norm: CodaNorm): UnitKind {
  return isEdauBound(norm) ? 'edau' : 'dau';
}

/** Sizes above these are mistakes: the weights of one layer would not fit into memory. */
export const maxSide = 16_384;
export const maxChannels = 65_536;
const maxLayers = 1000;

export const count = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));

/** One layer, for configs that contain a stack of them. */
export const codaLayerSchema = v.pipe(
  v.strictObject({
    out: count(maxChannels),
    kernel: count(maxSide),
    stride: v.optional(count(maxSide), 1),
    padding: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(largestPadding(maxSide)))),
    rank: count(maxChannels),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const { padding, kernel } = dataset.value;
    if (padding === undefined || padding <= largestPadding(kernel)) return;
    addIssue({
      message: 'with more zeros than the kernel spans, whole rings of patches would have nothing else in them',
      expected: `at most ${largestPadding(kernel)}, the width of the kernel`,
      path: [{ type: 'object', origin: 'value', input: dataset.value, key: 'padding', value: padding }],
    });
  }),
  v.transform(({ padding, ...layer }) => ({ ...layer, padding: padding ?? Math.floor(layer.kernel / 2) })),
);

export const codaNormSchema = v.optional(v.picklist(codaNorms), 'sq');

/** What a stack and its linear map have in common. */
export const stackEntries = {
  layers: v.pipe(v.array(codaLayerSchema), v.minLength(1), v.maxLength(maxLayers)),
  norm: codaNormSchema,
  eps: codaEpsilonSchema,
  prefix: v.optional(v.string(), 'layers.'),
};
