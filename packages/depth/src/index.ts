/** Contributions and other attributions at every depth of a network, how good they are, and pictures of them. */
export { contributionsAtTaps, inputTimesGradient, residualFloor, type Contributions, type TapContributions } from './explain.ts';
export { checkTaps, type Target } from './pass-at-taps.ts';
export { explainer, type Explainer, type ExplainerOptions, type Explanation, type TapExplanation } from './explainer.ts';
export { attributor, type Attribution, type Attributor, type AttributorOptions, type TapMaps } from './attributor.ts';
export { jointAttributor, type JointAttribution, type JointAttributor, type JointAttributorOptions } from './joint-attributor.ts';
export type { Method, OnePassMethod, ProbingMethod } from './methods/method.ts';
export { attributionMethods, methodPresets, presetMethod, type MethodName, type PresetName } from './methods/attribution-methods.ts';
export {
  gradients,
  scores,
  tapModel,
  type Above,
  type AboveFunction,
  type ScoreKind,
  type TapModel,
  type TapModelOptions,
} from './tap-model.ts';
export { ownNetwork, type OwnNetwork } from './own-network.ts';
export { quickshift, type QuickshiftOptions } from './methods/quickshift.ts';
export { rowsWithin, type RowsWithinOptions } from './memory-budget.ts';
export { confidentGrids, type Grid, type GridList, type GridListOptions } from './grids/grid-list.ts';
export { gridPresets, smoothingOf, type GridPreset } from './grids/grid-presets.ts';
export { tileGrid } from './grids/tile-grid.ts';
export { cellClass, separateCells } from './grids/separate-cells.ts';
export {
  depthProfile,
  depthProfiler,
  joinTapProfiles,
  jointDepthProfiler,
  type DepthProfile,
  type DepthProfileOptions,
  type DepthProfiler,
  type DepthProfilerOptions,
  type JointDepthProfiler,
  type JointDepthProfilerOptions,
  type TapProfile,
} from './depth-profile.ts';
export { interpretableDepth, type InterpretableDepth, type InterpretableDepthOptions } from './interpretable-depth.ts';
export { summaryOf, type Summary } from './metrics/summary.ts';
export { gridLocalisation, type GridLocalisationOptions, type Scoring } from './metrics/grid-localisation.ts';
export { energyPointingGame, type Region } from './metrics/energy-pointing-game.ts';
export { completenessResidual } from './metrics/completeness.ts';
export { negativeMass } from './metrics/negative-mass.ts';
export { pixelRemoval, type PixelRemoval, type PixelRemovalOptions } from './metrics/pixel-removal.ts';
export { deletion, insertion, type AreaUnderCurves, type DeletionInsertionOptions } from './metrics/deletion-insertion.ts';
export { rankCorrelation } from './metrics/rank-correlation.ts';
export { cascade, randomisationCheck, type RandomisationCheckOptions, type RandomisationStage } from './metrics/randomisation-check.ts';
export { emptyPicture, enlarged, paste, pictureOf, type Colour, type Picture } from './render/picture.ts';
export { drawText } from './render/draw-text.ts';
export { resizeMap, type Interpolation } from './render/resize-map.ts';
export {
  divergingColour,
  heatMap,
  heatMapScale,
  overlay,
  sharedScale,
  type HeatMapOptions,
  type OverlayOptions,
} from './render/heat-map.ts';
export { linearMapPicture, type LinearMapPictureOptions } from './render/linear-map-picture.ts';
export { contactSheet, type Captioned } from './render/contact-sheet.ts';
export { strip, type StripOptions } from './render/strip.ts';
export { mapGrid, type MapGridOptions, type MapRow } from './render/map-grid.ts';
export { encodePng } from './render/encode-png.ts';
export { encodeGif, type GifOptions } from './render/encode-gif.ts';
