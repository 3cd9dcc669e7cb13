/** Contributions of every layer to a prediction, their completeness, and pictures of them. */
export {
  checkTaps,
  contributionsAtTaps,
  inputTimesGradient,
  residualFloor,
  type Contributions,
  type TapContributions,
  type Target,
} from './explain.ts';
export { explainer, type Explainer, type ExplainerOptions, type Explanation, type TapExplanation } from './explainer.ts';
export { emptyPicture, enlarged, paste, pictureOf, type Colour, type Picture } from './render/picture.ts';
export { drawText } from './render/draw-text.ts';
export { resizeMap, type Interpolation } from './render/resize-map.ts';
export { divergingColour, heatMap, heatMapScale, overlay, type HeatMapOptions, type OverlayOptions } from './render/heat-map.ts';
export { linearMapPicture, type LinearMapPictureOptions } from './render/linear-map-picture.ts';
export { strip, type StripOptions } from './render/strip.ts';
export { encodePng } from './render/encode-png.ts';
