/** A process of its own for a test: opens the engine, and prints what it is or why it is not. */
import { CodaError } from '@coda-nets/core';
import { tfjsWebGpuEngine } from '@coda-nets/engine';

const adapter = process.argv[2] ?? '';
try {
  const { description } = await tfjsWebGpuEngine(adapter === '' ? {} : { adapter });
  process.stdout.write(`here: ${description}`);
} catch (error) {
  if (!CodaError.isInstance(error)) throw error;
  process.stdout.write(`${error.kind}: ${error.message}`);
}
