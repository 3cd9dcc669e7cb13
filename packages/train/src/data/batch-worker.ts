/** What a worker thread of `BatchMaker` runs. Not a module to import. */
import { Tinypool } from 'tinypool';
import { loadSharp } from './load-sharp.ts';
import { makeBatch as make, type BatchTask, type MadeBatch } from './make-batch.ts';

/** As many images at a time as there are threads: the decoder need not divide one among more, and sees none twice. */
const sharp = await loadSharp().catch(() => undefined);
sharp?.concurrency(1);
sharp?.cache(false);

/** The arrays are handed over, not copied. */
export async function makeBatch(task: BatchTask): Promise<unknown> {
  const made: MadeBatch = await make(task);
  return Tinypool.move({ [Tinypool.transferableSymbol]: made.images.buffer, [Tinypool.valueSymbol]: made } as never);
}
