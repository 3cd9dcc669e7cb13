/** Several things that may be wrong at once, such as the keys of a config: all are told of together, so that they can be mended together. */
import { CodaError } from './errors.ts';

/**
 * Runs every check, and gives what they gave. What one of them throws is thrown; what several throw is thrown as one CodaError with `parts`, of the kind of the
 * first. `where` is what the checks are about, and the beginning of most of their errors' `where`. What is no CodaError is thrown at once.
 */
export function checkAll<Checks extends readonly (() => unknown)[]>(
  where: string,
  checks: readonly [...Checks],
): { [K in keyof Checks]: ReturnType<Checks[K]> } {
  const errors: CodaError[] = [];
  const results = checks.map((check) => {
    try {
      return check();
    } catch (error) {
      if (!CodaError.isInstance(error)) throw error;
      return void errors.push(error);
    }
  });
  throwAll(where, errors);
  return results as { [K in keyof Checks]: ReturnType<Checks[K]> };
}

/** As `checkAll`, of errors that are there already; nothing where there are none. */
export function throwAll(where: string, errors: readonly CodaError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  if (errors.length === 1) throw first;
  const parts = errors.flatMap((error) => error.parts ?? [error]);
  throw new CodaError({ kind: first.kind, where, problem: `${parts.length} mistakes`, parts });
}
