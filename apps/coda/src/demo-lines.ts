/** What the demo says at its end, and how it is called again. */
import { join, normalize } from 'node:path';
import { duration } from './progress.ts';
import { quoted } from './quoted.ts';

export const DEFAULT_OUT = 'runs/demo';

/** What starts this demo. */
export function demoLine(out: string): string {
  return out === DEFAULT_OUT ? 'npm run demo' : `npm run demo -- --out ${quoted(out)}`;
}

/** What starts it from the beginning. */
export function anewLine(out: string): string {
  return `${demoLine(out)}${out === DEFAULT_OUT ? ' --' : ''} --again`;
}

type Figures = Readonly<Record<'testAccuracy' | 'trainSeconds' | 'completenessResidual' | 'onnxMaxAbsDiff', number | undefined>>;

/** A line for each; one that is not known is `NaN`. */
export function figureLines({ testAccuracy = NaN, trainSeconds = NaN, completenessResidual = NaN, onnxMaxAbsDiff = NaN }: Figures): string {
  return `
  test accuracy          ${(100 * testAccuracy).toFixed(2)} %   (training ${duration(trainSeconds)})
  completeness residual  ${completenessResidual.toExponential(2)}   (|Σ contributions − (z − b₀)| / |z − b₀|, the worst of any image at any exact tap)
  ONNX against eager     ${onnxMaxAbsDiff.toExponential(2)}   (largest difference of any logit or map entry)`;
}

/** Where what was made is, and what to do with it. */
export function whereToLook(out: string): string {
  const here = (name: string): string => quoted(normalize(join(out, name)));
  return `Look at   ${here('report.html')}   the report: open it in a browser
          ${here('explanations')}/   one picture for each image; the plain images: ${here('images')}/
          ${here('hybrid.onnx')}   runs anywhere ONNX Runtime does
Try next  npm run --silent coda -- explain ${here('hybrid.safetensors')} ${here('images')} --out runs/explained
          npm run --silent coda -- info ${here('hybrid.safetensors')}`;
}
