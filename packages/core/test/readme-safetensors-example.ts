import { ndArray } from '@coda-nets/core';
import { openSafetensors, writeSafetensors } from '@coda-nets/core/node';

export async function oneTensor(path: string): Promise<void> {
  const tensors = {
    scale: ndArray('float32', [2], Float32Array.of(1, 0.1)),
    steps: ndArray('int64', [], BigInt64Array.of(9000n)),
  };
  // arrays are stored as they are; those named here are rounded to 16 bits
  await writeSafetensors(path, tensors, { format: 'pt' }, { scale: 'BF16' });

  // a path, or a URL as in the browser: 'https://…/model.safetensors', or the '….index.json' of a model in several files
  const file = await openSafetensors(path);
  console.log(file.metadata, file.tensors['scale']); // { format: 'pt' } { dtype: 'BF16', shape: [ 2 ], bytes: 4 }
  console.log((await file.read('scale')).data); // Float32Array(2) [ 1, 0.10009765625 ]
  await file.close();
}
