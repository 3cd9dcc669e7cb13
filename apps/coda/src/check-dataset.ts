/** Whether a data set and a network belong together. */
import { CodaError, sameShape, type Network } from '@coda-nets/core';
import type { ImageDataset } from '@coda-nets/train';

export function checkDataset(dataset: ImageDataset, network: Network, where: string): void {
  // images in files are decoded at the size that is asked for
  if (dataset.inputShape !== undefined && !sameShape(dataset.inputShape, network.inputShape)) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: 'images of another size than the network takes',
      expected: `[${network.inputShape.join(', ')}]`,
      got: `[${dataset.inputShape.join(', ')}]`,
    });
  }
  if (dataset.classNames.length > network.classes) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: 'more classes than the network has',
      expected: `at most ${network.classes}`,
      got: String(dataset.classNames.length),
    });
  }
}
