/** A conventional ResNet with a CoDA head: classifiers that explain themselves. */
export { hybrid, stemPrefix, type Hybrid } from './hybrid.ts';
export { hybridConfigSchema, parseHybridConfig, type HybridConfig, type HybridHead, type HybridOptions } from './hybrid-config.ts';
export { hybridPreset, hybridPresets, type HybridPresetName } from './hybrid-presets.ts';
export { imagenetHybrid, imagenetHybridPresets, type ImagenetHybridName, type ImagenetHybridOptions } from './imagenet-presets.ts';
export { withCut } from './with-cut.ts';
export { withStemWeights } from './with-stem-weights.ts';
