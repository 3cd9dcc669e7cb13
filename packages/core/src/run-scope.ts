/** A mode that holds while a synchronous function runs, and is taken back however it ends. */
import { CodaError } from './errors.ts';

/** Runs `fn` between `enter` and `leave`. Throws a CodaError named `where` for a function that returns a promise: it would leave the scope. */
export function runScope<T>(where: string, fn: () => T, { enter, leave }: { readonly enter: () => void; readonly leave: () => void }): T {
  enter();
  try {
    const result = fn();
    if (result instanceof Promise) {
      throw new CodaError({
        kind: 'argument',
        where: `${where}: fn`,
        problem: 'the scope ends when fn returns, so an asynchronous fn would leave it',
        expected: 'a synchronous function',
        got: 'a promise',
      });
    }
    return result;
  } finally {
    leave();
  }
}
