/** The grids that all models of a depth analysis are measured on. How they are drawn: `confidentGrids`. */
import { confidentGrids, gridPresets, type GridList } from '@coda-nets/depth';
import { classify } from '../classify.ts';
import type { DepthModel, DepthWork } from './depth-work.ts';

/** Grids of images that every model is right and sure of. */
export function drawGrids(models: readonly DepthModel[], work: DepthWork): Promise<GridList> {
  const { split, images, n, grids: count, threshold, seed, parts, engine, io, signal } = work;
  const limit = images.shape[0] as number;
  const key = { part: 'grids', models: models.map(({ sha256 }) => sha256), data: split.fingerprint, limit, n, count, threshold, seed };
  const draw = async (): Promise<GridList> => {
    const predictions = [];
    for (const model of models) {
      io.say(`${model.name}: predictions of ${limit} images, to draw grids from`);
      const bar = io.progress(`predictions of ${model.name}`, limit, 'images');
      const made = classify(engine, model, images, { onImages: (done) => bar.update(done), signal });
      predictions.push(await made.finally(() => bar.stop()));
    }
    return confidentGrids({ predictions, labels: split.labels.subarray(0, limit), n, count, threshold, seed });
  };
  return parts.once(key, draw, (list) => isOf(list, n, limit, split.labels));
}

/** Whether a stored list is one of these images and their classes. */
function isOf({ grids }: GridList, n: number, limit: number, labels: ArrayLike<number>): boolean {
  return (
    grids.length > 0 &&
    grids.every(({ images, classes }) => {
      return images.length === n * n && classes.length === n * n && images.every((i, k) => i >= 0 && i < limit && labels[i] === classes[k]);
    })
  );
}

/** What to know of figures from fewer grids than the preset has; undefined where there are as many. */
export function fewGrids(drawn: number, preset: string): string | undefined {
  const { count } = gridPresets[Object.hasOwn(gridPresets, preset) ? (preset as keyof typeof gridPresets) : 'coda2021'];
  if (drawn >= count) return undefined;
  return `The grids begin with the images that the network is surest of: figures from ${drawn} come out higher than from the preset’s ${count}, and intervals of few grids are too narrow.`;
}
