/** A PyTorch state dict in a safetensors file; PyTorch's own pickle files are refused. */
import { CodaError, decodeSafetensors, type NamedArrays } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { createHash } from 'node:crypto';

/** A billion float32 weights, twenty times the largest network here; the file is read into memory as a whole. */
const MAX_BYTES = 4 * 2 ** 30;

export interface StateDict {
  readonly tensors: NamedArrays;
  /** Of the file, hex. */
  readonly sha256: string;
}

/** Throws a CodaError that begins with the path. */
export async function readStateDict(path: string): Promise<StateDict> {
  const bytes = await readFileBytes(path, { maxBytes: MAX_BYTES });
  if (isPickle(path, bytes)) {
    throw new CodaError({
      kind: 'unsupported',
      where: path,
      problem: 'a pickle file of PyTorch, which can run any program when it is opened, so it is not read here',
      hint: `Save its weights as safetensors, with Python:\n${conversion(path)}`,
    });
  }
  try {
    return {
      tensors: decodeSafetensors(bytes, path).tensors,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
  } catch (error) {
    if (!CodaError.isInstance(error) || error.kind !== 'unsupported') throw error;
    throw error.withHint('Save the tensors as float32: tensor.float().');
  }
}

/** PyTorch writes a zip file with a pickle inside, formerly a bare pickle. A safetensors file has the brace of its header at byte 8. */
function isPickle(path: string, bytes: Uint8Array): boolean {
  if (bytes[8] === 0x7b) return false;
  const zip = bytes[0] === 0x50 && bytes[1] === 0x4b;
  const pickle = bytes[0] === 0x80 && (bytes[1] as number) <= 5;
  return zip || pickle || /\.(pt|pth|pkl|pickle|ckpt|bin|tar)$/i.test(path);
}

/** Two lines of Python; a checkpoint often has the state dict under a key. */
function conversion(path: string): string {
  const target = `${path.replace(/(\.(pt|pth|pkl|pickle|ckpt|bin|tar))+$/i, '')}.safetensors`;
  return [
    `  import torch, safetensors.torch; state = torch.load(${JSON.stringify(path)}, map_location="cpu", weights_only=True)`,
    `  safetensors.torch.save_file({k: v.float().contiguous() for k, v in state.get("state_dict", state).items()}, ${JSON.stringify(target)})`,
  ].join('\n');
}
