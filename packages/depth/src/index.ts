/** Contributions of every layer to a prediction, their completeness, and pictures of them. */
export {
  contributionsAtTaps,
  inputTimesGradient,
  residualFloor,
  type Contributions,
  type TapContributions,
  type Target,
} from './explain.ts';
export {
  explainer,
  type Explainer,
  type ExplainerOptions,
  type Explanation,
  type TapExplanation,
} from './explainer.ts';
