/**
 * The event file of a part of a run, without which the run goes on: where it cannot be written (a full disk), that is told once, and no more is written to it, since a record that is
 * half there ends it. What it would have held is in metrics.jsonl; the run's next part opens a file of its own.
 */
import { openEventFile, type EventFile } from './event-file.ts';

/** See `openEventFile`. None of its functions fails. */
export async function openEventsOrNone(folder: string, from: number, notice: (message: string) => void): Promise<Omit<EventFile, 'path'>> {
  let file: EventFile | undefined;
  let isWritten = true;
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    if (!isWritten) return;
    try {
      await work();
    } catch (error) {
      isWritten = false;
      const { code, message } = error as NodeJS.ErrnoException;
      notice(
        `${file?.path ?? folder}: TensorBoard’s event file could not be written (${code ?? message}); the training goes on without it, and metrics.jsonl has its numbers.`,
      );
    }
  };
  await attempt(async () => {
    file = await openEventFile(folder, from);
  });
  return {
    write: (step, content) => attempt(async () => file?.write(step, content)),
    flush: () => attempt(async () => file?.flush()),
    close: async () => file?.close().catch(() => undefined),
    discard: async () => file?.discard().catch(() => undefined),
  };
}
