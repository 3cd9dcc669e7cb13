/** Model files on disk. What is inside of them: `model-file.ts`. */
import { decodeModel, metadataOf, type Model } from '../model-file.ts';
import { readFileBytes } from './read-file-bytes.ts';
import { writeSafetensors } from './safetensors-files.ts';

/** A billion float32 weights, twenty times the largest network here; the file is read into memory as a whole. */
const maxModelBytes = 4 * 2 ** 30;

/** Throws a CodaError that begins with the path. */
export async function readModel(path: string): Promise<Model> {
  return decodeModel(await readFileBytes(path, { maxBytes: maxModelBytes }), path);
}

/** Written atomically. */
export async function writeModel(path: string, model: Model): Promise<void> {
  await writeSafetensors(path, model.weights, metadataOf(model));
}
