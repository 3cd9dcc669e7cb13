/** What `coda depth` found, as `results.json` has it: the schema, which every file is checked against before it is written. Computes nothing. */
import * as v from 'valibot';

/** Grows when a reader of older files would misread a newer one. */
export const DEPTH_SCHEMA_VERSION = 1;

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const parameter = v.union([v.string(), v.number(), v.boolean()]);
const scoring = v.picklist(['pool', 'upsample']);

const summary = v.strictObject({
  mean: v.number(),
  min: v.number(),
  lowerQuartile: v.number(),
  median: v.number(),
  upperQuartile: v.number(),
  max: v.number(),
});

const scored = v.strictObject({
  summary,
  /** Grid by grid, in each cell by cell. */
  values: v.array(share),
});

const tapResult = v.strictObject({
  tap: v.string(),
  /** Whether the map sums to z − b₀ by construction. */
  exact: v.boolean(),
  size: v.tuple([count, count]),
  /** null where the map does not divide into the cells. */
  pool: v.nullable(scored),
  upsample: scored,
  residual: summary,
  negativeMass: summary,
});

const removalResult = v.strictObject({
  tap: v.string(),
  order: v.picklist(['least', 'most']),
  images: count,
  /** Share of positions removed at each point. */
  removed: v.array(share),
  /** Probability of the true class at each point, mean over the images. */
  mean: v.array(share),
  meanOfCurve: share,
});

const interpretableDepth = v.strictObject({
  threshold: v.number(),
  scoring,
  taps: count,
  of: count,
  share,
  deepest: v.nullable(v.string()),
  interval: v.strictObject({ low: v.number(), high: v.number(), confidence: share, resamples: count, seed: count }),
  curve: v.array(v.strictObject({ tap: v.string(), median: share })),
  areaUnderCurve: share,
});

const methodResult = v.strictObject({
  /** As it was asked for: `occlusion9`. */
  name: v.string(),
  method: v.string(),
  /** Whose parameters these are. */
  preset: v.string(),
  parameters: v.record(v.string(), parameter),
  kind: v.picklist(['one pass', 'probing']),
  /** From the input to the output. */
  taps: v.array(tapResult),
  /** null where the method was not measured at every tap. */
  interpretableDepth: v.nullable(interpretableDepth),
  removal: v.array(removalResult),
});

const modelResult = v.strictObject({
  name: v.string(),
  sha256: v.string(),
  kind: v.string(),
  taps: v.array(v.strictObject({ name: v.string(), channels: count, stride: count, exact: v.boolean() })),
  methods: v.array(methodResult),
});

export const depthResultsSchema = v.strictObject({
  schemaVersion: v.literal(DEPTH_SCHEMA_VERSION),
  preset: v.string(),
  setting: v.picklist(['whole', 'difull']),
  /** The one that figures are of. */
  scoring,
  /** Side in pixels of the box that maps are averaged over before they are scored; 1 is none. */
  smooth: count,
  seed: count,
  data: v.strictObject({ name: v.string(), split: v.literal('test'), images: count, fingerprint: v.string() }),
  versions: v.strictObject({ coda: v.string(), node: v.string(), engine: v.string() }),
  /** The same for all methods and models. */
  gridList: v.strictObject({
    n: count,
    seed: count,
    threshold: v.number(),
    grids: v.array(v.strictObject({ images: v.array(count), classes: v.array(count) })),
  }),
  classNames: v.array(v.string()),
  models: v.array(modelResult),
});

export type DepthResults = v.InferOutput<typeof depthResultsSchema>;
export type ModelResult = v.InferOutput<typeof modelResult>;
export type MethodResult = v.InferOutput<typeof methodResult>;
export type TapResult = v.InferOutput<typeof tapResult>;

/** The tap's values in the scoring, or in the other where it has none. */
export function valuesOf(tap: TapResult, by: DepthResults['scoring']): TapResult['upsample'] {
  return by === 'pool' && tap.pool !== null ? tap.pool : tap.upsample;
}
