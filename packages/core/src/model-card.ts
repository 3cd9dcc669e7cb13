/** What a person should know of trained weights before using them, as data that travels with them (after Mitchell et al., arXiv 1810.03993). */
import * as v from 'valibot';

/** Printed on terminals: no control characters, and a page at most. */
const maxText = 4000;
const maxEntries = 50;
const text = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(maxText),
  v.check((value) => !/\p{Cc}/u.test(value), 'a control character'),
);
const list = v.pipe(v.array(text), v.maxLength(maxEntries));

export const modelCardSchema = v.strictObject({
  data: text,
  recipe: text,
  accuracy: v.pipe(
    v.array(v.strictObject({ metric: text, value: v.pipe(v.number(), v.minValue(0), v.maxValue(1)), on: text })),
    v.maxLength(maxEntries),
  ),
  hardware: v.optional(text),
  licence: text,
  limits: list,
  source: v.optional(text),
});

export interface ModelCard {
  /** What the weights were trained on. */
  readonly data: string;
  readonly recipe: string;
  /** `value`: a share of 1; `on`: which images, at which size, and who measured it where it was not this project. */
  readonly accuracy: readonly { readonly metric: string; readonly value: number; readonly on: string }[];
  /** What they were trained on in the other sense, and for how long. */
  readonly hardware?: string | undefined;
  /** Of the weights; and of the data where that binds who uses them. */
  readonly licence: string;
  /** What they are not for, and what was not measured. */
  readonly limits: readonly string[];
  /** Where they come from: a URL. */
  readonly source?: string | undefined;
}
