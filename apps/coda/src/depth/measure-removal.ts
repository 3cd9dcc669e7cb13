/** Pixel removal by the maps of one method, image by image, in parts that are stored as they are done. */
import { attributor, pixelRemoval, tapModel } from '@coda-nets/depth';
import { isOf, wholeWork } from '@coda-nets/train';
import type { MethodResult } from './depth-results.ts';
import { imagesIn, isPartial, keyOf, shortened, type DepthModel, type DepthWork, type PlannedMethod } from './depth-work.ts';

const IMAGES_A_PART = 32;
const REMOVAL = { points: 129, share: 0.25 } as const;

interface RemovalPart {
  readonly removed: readonly number[];
  readonly least: readonly (readonly number[])[];
  readonly most: readonly (readonly number[])[];
}

export async function measuredRemoval(model: DepthModel, planned: PlannedMethod, work: DepthWork): Promise<MethodResult['removal']> {
  const { removal: images, parts, io, signal } = work;
  const results: MethodResult['removal'] = [];
  if (images === 0) return results;
  for (const tap of planned.removalTaps) {
    const bar = io.progress(`${model.name}, ${planned.name}, removal at ${tap}`, images, 'images');
    let first = 0;
    const remover = lazyRemover(model, planned, tap, work, (share) => bar.update(first + share * Math.min(IMAGES_A_PART, images - first)));
    const done: RemovalPart[] = [];
    try {
      for (; first < images; first += IMAGES_A_PART) {
        if (!isOf(work.share ?? wholeWork, first / IMAGES_A_PART)) continue;
        const count = Math.min(IMAGES_A_PART, images - first);
        const from = first;
        const key = { part: 'removal', ...keyOf(model, planned, work), tap, first, count, ...REMOVAL };
        signal.throwIfAborted();
        done.push(
          await parts.once(
            key,
            () => remover.remove(from, count),
            (part) => isRemovalOf(part, count),
          ),
        );
      }
      bar.update(images);
    } finally {
      bar.stop();
      await remover.dispose();
    }
    if (isPartial(work)) continue;
    for (const order of ['least', 'most'] as const) {
      const curves = done.flatMap((part) => part[order]);
      const mean = (curves[0] ?? []).map((_, i) => curves.reduce((sum, curve) => sum + (curve[i] as number), 0) / curves.length);
      const meanOfCurve = mean.reduce((sum, x) => sum + x, 0) / mean.length;
      results.push({
        tap,
        order,
        images,
        removed: [...(done[0] as RemovalPart).removed],
        mean: mean.map(shortened),
        meanOfCurve: shortened(meanOfCurve),
      });
    }
  }
  return results;
}

/** Whether a stored part has a number for each of the images at every share that is removed. */
function isRemovalOf({ removed, least, most }: RemovalPart, count: number): boolean {
  const whole = (values: readonly unknown[]): boolean => values.length === removed.length && values.every((x) => typeof x === 'number');
  return [least, most].every((curves) => curves.length === count && curves.every(whole));
}

function lazyRemover(
  { network, model: { weights } }: DepthModel,
  { method }: PlannedMethod,
  tap: string,
  { engine, split, signal }: DepthWork,
  onShare: (share: number) => void,
): { remove(first: number, count: number): Promise<RemovalPart>; dispose(): Promise<void> } {
  let opened: Promise<Awaited<ReturnType<typeof attributor>>> | undefined;
  /** Two orders, half of the work each. */
  let before = 0;
  const model = tapModel({ engine, network, weights, tap, signal, onShare: (share) => onShare(before + share / 2) });
  return {
    remove: async (first, count) => {
      opened ??= attributor({ engine, network, weights, method, taps: [tap], signal });
      const [height, width] = network.inputShape;
      const images = await imagesIn(split, first, count, [height, width]);
      const targets = split.labels.slice(first, first + count);
      const { taps } = await (await opened).attribute(images, [...targets]);
      const [{ maps }] = taps as [(typeof taps)[number]];
      const given = { model, activations: await model.activations(images), targets: Int32Array.from(targets), maps, ...REMOVAL };
      before = 0;
      const least = await pixelRemoval({ ...given, order: 'least' });
      before = 0.5;
      const most = await pixelRemoval({ ...given, order: 'most' });
      const curves = ({ values }: typeof least): number[][] => values.map((curve) => curve.map(shortened));
      return { removed: least.removed, least: curves(least), most: curves(most) };
    },
    dispose: async () => {
      await (await opened)?.dispose();
      await model.dispose();
    },
  };
}
