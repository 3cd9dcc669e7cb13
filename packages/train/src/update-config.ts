/** The part of a training's config that says how weights follow their gradients: optimiser, schedule, clipping, groups, average. Runs nothing. */
import * as v from 'valibot';

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const belowOne = v.pipe(v.number(), v.minValue(0), v.ltValue(1));
const warmup = v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 31)), 0);

/** The defaults of Adam, arXiv 1412.6980, section 2. */
const adam = { beta1: v.optional(belowOne, 0.9), beta2: v.optional(belowOne, 0.999), epsilon: v.optional(positive, 1e-8) };

export const optimiserSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('adam'), ...adam, decay: v.optional(v.picklist(['coupled', 'decoupled']), 'coupled') }),
  v.strictObject({ kind: v.literal('adamw'), ...adam }),
  v.strictObject({
    kind: v.literal('sgd'),
    momentum: v.optional(belowOne, 0.9),
    nesterov: v.optional(v.boolean(), false),
  }),
  // ε of TensorFlow Addons' and timm's LAMB; arXiv 1904.00962 leaves it open
  v.strictObject({ kind: v.literal('lamb'), ...adam, epsilon: v.optional(positive, 1e-6) }),
]);

export const scheduleSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('constant'), warmup }),
  v.strictObject({
    kind: v.literal('step'),
    milestones: v.optional(v.array(share), [0.5, 0.75]),
    factor: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), 0.1),
    warmup,
  }),
  v.strictObject({ kind: v.literal('linear'), end: v.optional(share, 0), warmup }),
  v.strictObject({ kind: v.literal('cosine'), end: v.optional(share, 0), warmup }),
  v.strictObject({
    kind: v.literal('one-cycle'),
    peak: v.optional(share, 0.3),
    start: v.optional(share, 0.04),
    end: v.optional(share, 0.0001),
    warmup,
  }),
]);

const patterns = v.pipe(v.array(v.string()), v.maxLength(1000));

export const clipSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('norm'), max: positive }),
  // arXiv 2102.06171, section 4.1: λ = 0.01 for batches of 4096 (smaller batches want a larger one), ε = 10⁻³, not the last linear layer
  v.strictObject({
    kind: v.literal('adaptive'),
    factor: v.optional(positive, 0.01),
    epsilon: v.optional(positive, 1e-3),
    except: v.optional(patterns, ['fc.*']),
  }),
]);

export const groupSchema = v.strictObject({ names: v.string(), rate: positive });

export const averageSchema = v.strictObject({ decay: v.optional(belowOne, 0.9999) });
