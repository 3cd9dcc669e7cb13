/** State dicts in safetensors files, read a part at a time: from a path, a URL or a Blob, as `openSafetensors` opens them. */
import type { NamedArrays, ReadOptions, SafetensorsFile } from '@coda-nets/core';
import type { ResnetOptions } from './resnet-config.ts';
import { checkStateDict, convertTensor } from './state-dict.ts';

/**
 * What `importStateDict` makes of all tensors of `file`, in the memory that the weights take and little more: names, shapes and dtypes are compared before
 * a tensor is read. Only what the config wants is read. Rejects with a CodaError as `importStateDict` throws.
 */
export async function loadStateDict(
  file: Pick<SafetensorsFile, 'tensors' | 'visit'>,
  options: ResnetOptions,
  { where = 'loadStateDict', ...reading }: ReadOptions & { readonly where?: string | undefined } = {},
): Promise<NamedArrays> {
  const places = checkStateDict(file.tensors, options, where);
  const weights: Record<string, NamedArrays[string]> = {};
  await file.visit(
    (theirs, tensor) => {
      const { name, shape } = places.get(theirs) as { readonly name: string; readonly shape: readonly number[] };
      weights[name] = convertTensor(tensor, shape, `${where}: ${theirs}`);
    },
    { names: [...places.keys()], ...reading },
  );
  return weights;
}
