/** An engine that tells what it was fed and may be made to answer something else. */
import type { Compiled, Engine, NamedArrays, Signature } from '@coda-nets/core';

export interface Watch {
  /** Each call of a compiled function, before its result is handed on. */
  readonly onRun?: (inputs: NamedArrays, output: NamedArrays, signature: Signature) => NamedArrays;
  readonly description?: string;
}

export function watchedEngine(engine: Engine, { onRun, description = engine.description }: Watch): Engine {
  return {
    name: engine.name,
    description,
    compile: async (fn, signature): Promise<Compiled> => {
      const compiled = await engine.compile(fn, signature);
      return {
        run: async (inputs) => {
          const output = await compiled.run(inputs);
          return onRun?.(inputs, output, signature) ?? output;
        },
        carried: () => compiled.carried(),
        dispose: () => compiled.dispose(),
      };
    },
  };
}
