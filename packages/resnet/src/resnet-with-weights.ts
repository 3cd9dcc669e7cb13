/** A config and the weights that belong to it: what turns one ResNet into another takes both and gives both. */
import type { NamedArrays } from '@coda-nets/core';
import type { ResnetConfig } from './resnet-config.ts';

export interface ResnetWithWeights {
  readonly config: ResnetConfig;
  /** Of `resnet(config)`. */
  readonly weights: NamedArrays;
}
