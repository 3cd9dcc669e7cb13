/** A function for inputs of any shape: compiled anew for shapes it has not seen, remembered for those it has. */
import { CodaError, type ArraySpec, type Compiled, type Engine, type NamedArrays, type TensorFunction } from '@coda-nets/core';

export interface CompileByShapeOptions {
  /** Values that never change, by name. */
  readonly constants?: NamedArrays;
  /** How many shapes are kept compiled, default 8; the one that was not used for the longest makes room. */
  readonly limit?: number;
}

export interface CompiledByShape {
  run(inputs: NamedArrays): Promise<NamedArrays>;
  /** How many shapes are compiled now. */
  readonly size: number;
  /** After the calls so far. */
  dispose(): Promise<void>;
}

/**
 * For functions that a `'batch'` in a signature does not cover: images of many sizes, a batch size used as a number. Every new combination of shapes and
 * dtypes costs a trace and a compilation, so sizes that occur once are better padded. Carried values belong to one compiled function and have no place here.
 * Throws a CodaError for a limit that is no whole number from 1 up.
 */
export function compileByShape(
  engine: Engine,
  fn: TensorFunction,
  { constants = {}, limit = 8 }: CompileByShapeOptions = {},
): CompiledByShape {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new CodaError({
      kind: 'argument',
      where: 'compileByShape: limit',
      problem: 'not a number of shapes',
      expected: 'a whole number, at least 1',
      got: String(limit),
    });
  }
  // in the order of last use
  const known = new Map<string, { readonly compiled: Promise<Compiled>; running: number }>();
  const retired: Promise<void>[] = [];
  let disposed = false;

  const retire = (key: string): void => {
    const entry = known.get(key);
    known.delete(key);
    if (entry !== undefined) retired.push(entry.compiled.then((compiled) => compiled.dispose()).catch(() => undefined));
  };
  const makeRoom = (): void => {
    for (const [key, { running }] of known) {
      if (known.size <= limit) return;
      if (running === 0) retire(key);
    }
  };
  return {
    get size() {
      return known.size;
    },
    run: async (inputs) => {
      if (disposed) throw new CodaError({ kind: 'argument', where: 'compileByShape: run', problem: 'called after dispose' });
      const key = Object.entries(inputs)
        .map(([name, { dtype, shape }]) => `${JSON.stringify(name)}:${dtype}[${shape.join()}]`)
        .sort()
        .join(';');
      const entry = known.get(key) ?? { compiled: engine.compile(fn, { inputs: specsOf(inputs), constants }), running: 0 };
      known.delete(key);
      known.set(key, entry);
      entry.running++;
      try {
        const compiled = await entry.compiled;
        return await compiled.run(inputs);
      } catch (error) {
        // what could not be compiled is tried again; another call may have begun to
        await entry.compiled.catch(() => known.get(key) === entry && known.delete(key));
        throw error;
      } finally {
        entry.running--;
        makeRoom();
      }
    },
    dispose: async () => {
      disposed = true;
      for (const key of known.keys()) retire(key);
      await Promise.all(retired);
    },
  };
}

const specsOf = (inputs: NamedArrays): Record<string, ArraySpec> =>
  Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape } as ArraySpec]));
