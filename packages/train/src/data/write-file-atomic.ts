/**
 * Writes a file so that a reader, or a machine that loses power, sees the old one or the new one and nothing between.
 */
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';

/** Beside, fsync, rename. The file beside has a name of its own, so that two writers do not meet. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const beside = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(beside, 'wx');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
