/** node examples/principal-directions/dist/main.js [picture.png] */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { writeFile } from 'node:fs/promises';
import { Random } from '@coda-nets/core';
import { codaNorms } from '@coda-nets/dau';
import { encodePng } from '@coda-nets/depth';
import { freshUnit, maximise, projectedDirections, share, weightsFor } from './maximise-unit.ts';
import { principalDirections, sampleInputs, side } from './patterns.ts';
import { drawRows, type Row } from './picture.ts';

const [file = 'principal-directions.png'] = process.argv.slice(2);
const steps = 150;
const random = Random.seeded(0);
const shown = sampleInputs(3, random.split('shown'));
const images = (x: Float32Array): Float32Array[] =>
  Array.from({ length: x.length / side ** 2 }, (_, i) => x.slice(i * side ** 2, (i + 1) * side ** 2));

await tf.setBackend('cpu');
const rows: Row[] = [{ label: 'data', directions: principalDirections, responses: images(shown) }];
process.stdout.write('share of each principal direction within the unit\n');
for (const norm of codaNorms) {
  const unit = freshUnit(norm, random.split('weights'));
  const look = (label: string): void => {
    const directions = projectedDirections(unit);
    process.stdout.write(`${label.padEnd(10)} ${directions.map((p) => share(p).toFixed(3)).join('  ')}\n`);
    rows.push({ label, directions, responses: images(weightsFor(shown, unit)) });
  };
  if (rows.length === 1) look('untrained');
  maximise(unit, steps, random.split('inputs'));
  look(norm);
  tf.dispose([unit.A, unit.B, unit.b]);
}
const picture = drawRows(rows, ['principal directions, and the part of them within the unit', 'inputs x, and the weights w(x)']);
await writeFile(file, await encodePng(picture));
process.stdout.write(`${file}: from top to bottom the data, an untrained unit, and units after ${steps} steps\n`);
