/** Hybrid networks: a conventional ResNet with a CoDA head. */
export { hybrid, stemPrefix, type HybridNetwork } from './hybrid.ts';
export { hybridConfigSchema, parseHybridConfig, type HybridConfig, type HybridOptions } from './hybrid-config.ts';
export { hybridPresets, type HybridPresetName } from './hybrid-presets.ts';
export { withStemWeights } from './stem-weights.ts';
