/**
 * The one error that leaves these packages on purpose: it names the place, what was expected and what came instead.
 * Anything else that is thrown is a defect.
 */

/**
 * What went wrong, so that a caller can act on it without reading the message.
 * - `argument`: the call was wrong (the command line exits with 2)
 * - `malformed`: a foreign file or value breaks its format
 * - `unreadable`: the file or source could not be read at all
 * - `mismatch`: two things that must agree do not (weights and config, checkpoint and run)
 * - `unsupported`: well-formed, and outside of what is implemented
 * - `unavailable`: something this machine lacks
 * - `numeric`: a computation left its domain (NaN loss, residual above tolerance)
 */
export type ErrorKind = 'argument' | 'malformed' | 'unreadable' | 'mismatch' | 'unsupported' | 'unavailable' | 'numeric';

export interface ErrorDetails {
  readonly kind: ErrorKind;
  /** The function, file, node or leaf: `hybrid.cut`, `weights.safetensors: tensor "fc.weight"`. */
  readonly where: string;
  readonly problem: string;
  readonly expected?: string | undefined;
  readonly got?: string | undefined;
  /** What to do about it, as a whole sentence. */
  readonly hint?: string | undefined;
  /** What went wrong at once, each a whole error: `checkAll` joins them. */
  readonly parts?: readonly ErrorDetails[] | undefined;
  readonly cause?: unknown;
}

const brand = Symbol.for('@coda-nets/core/CodaError');

export class CodaError extends Error {
  readonly kind: ErrorKind;
  readonly where: string;
  readonly problem: string;
  readonly expected: string | undefined;
  readonly got: string | undefined;
  readonly hint: string | undefined;
  readonly parts: readonly CodaError[] | undefined;
  readonly [brand] = true;

  constructor(details: ErrorDetails) {
    const parts = details.parts?.map((part) => (CodaError.isInstance(part) ? part : new CodaError(part)));
    super(messageOf(details, parts), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CodaError';
    this.kind = details.kind;
    this.where = details.where;
    this.problem = details.problem;
    this.expected = details.expected;
    this.got = details.got;
    this.hint = details.hint;
    this.parts = parts;
  }

  /** True for a CodaError of any copy of this package. */
  static isInstance(error: unknown): error is CodaError {
    return typeof error === 'object' && error !== null && brand in error;
  }

  /** The same error seen from further out: `where` is prefixed with the place, the cause is kept. */
  within(place: string): CodaError {
    const parts = this.parts?.map((part) => part.within(place));
    return new CodaError({ ...this.toJSON(), where: `${place}: ${this.where}`, parts, cause: this.cause ?? this });
  }

  /** The same error with what to do about it, from who knows the situation; the cause is kept. */
  withHint(hint: string): CodaError {
    return new CodaError({ ...this.toJSON(), hint, parts: this.parts, cause: this.cause ?? this });
  }

  /** The same error of another kind, from who knows where the value came from; the cause is kept. */
  as(kind: ErrorKind): CodaError {
    const parts = this.parts?.map((part) => part.as(kind));
    return new CodaError({ ...this.toJSON(), kind, parts, cause: this.cause ?? this });
  }

  /** Plain data, for another process or thread, where `new CodaError` makes the same error of it; the cause stays here. */
  toJSON(): ErrorDetails {
    const { kind, where, problem, expected, got, hint, parts } = this;
    return { kind, where, problem, expected, got, hint, parts: parts?.map((part) => part.toJSON()) };
  }
}

function messageOf({ where, problem, expected, got, hint }: ErrorDetails, parts: readonly CodaError[] = []): string {
  let text = `${where}: ${problem}`;
  if (expected !== undefined && got !== undefined) text += `; expected ${expected}, got ${got}`;
  else if (expected !== undefined) text += `; expected ${expected}`;
  else if (got !== undefined) text += `; got ${got}`;
  const beginning = printable(`${where}: `);
  for (const { message } of parts.slice(0, maxParts))
    text += `\n  ${message.startsWith(beginning) ? message.slice(beginning.length) : message}`;
  if (parts.length > maxParts) text += `\n  and ${parts.length - maxParts} more`;
  if (hint !== undefined) text += parts.length === 0 ? `. ${hint}` : `\n${hint}`;
  return printable(text.length > maxMessage ? `${text.slice(0, maxMessage)}…` : text);
}

/** Names in foreign files go into messages: a long one is not to fill a screen, and none to steer the terminal it is printed on. */
const maxMessage = 10_000;
/** A screen; who has mended these sees the others. */
export const maxParts = 20;
function printable(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, '\u{FFFD}');
}
