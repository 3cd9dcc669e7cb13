/** `data` among the benches: images a second from JPEGs to a batch, against a DataLoader with Pillow on the same files and with as many workers. */
import {
  Ahead,
  BatchSampler,
  batchMaker,
  batchTask,
  openDataset,
  sequentialBatches,
  type Augmentation,
  type ImageSplit,
} from '@coda-nets/train';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workNamed, type Bench } from '../bench.ts';
import { interleave, measureCalls, type Contender } from '../interleave.ts';
import { ratio, textTable } from '../text-table.ts';
import { writeJpegTree } from './jpeg-tree.ts';
import { startLoaderTwin } from './loader-twin.ts';

const IMAGES = 1000;
const QUICK_IMAGES = 300;
const BATCH = 32;
const SIDE = 224;
/** torchvision's 256 for 224. */
const RESIZE = 256;

interface Work {
  readonly id: string;
  readonly title: string;
  /** Undefined: no twin does the same. */
  readonly twin?: 'train' | 'evaluate';
  readonly augmentation: Augmentation;
}

const crop = { kind: 'random-resized', scale: [0.08, 1], ratio: [3 / 4, 4 / 3] } as const;
const works: readonly Work[] = [
  { id: 'train', title: 'random resized crop, flip', twin: 'train', augmentation: { kind: 'recipe', crop, flip: true } },
  { id: 'evaluate', title: 'resize 256, centre crop', twin: 'evaluate', augmentation: { kind: 'none' } },
  {
    id: 'rand-augment',
    title: 'crop, flip, RandAugment(2, 10), erasing, mixup',
    augmentation: {
      kind: 'recipe',
      crop,
      flip: true,
      policy: { kind: 'rand-augment', operations: 2, magnitude: 10 },
      erase: { probability: 0.25, area: [0.02, 0.4], ratio: [0.3, 10 / 3], fill: 'noise' },
      mixup: 0.2,
    },
  },
];

export const dataBenchCommand: Bench = {
  name: 'data',
  description: 'JPEGs decoded and augmented to batches, against a PyTorch DataLoader with Pillow',
  works: works.map(({ id }) => id),
  run: async ({ threads, rounds, quick, seed, works: ids, python, io, signal }) => {
    const chosen = ids === undefined ? works : ids.map((id) => workNamed(works, id, 'bench data: --works'));
    const root = await mkdtemp(join(tmpdir(), 'coda-bench-data-'));
    const twin = await startLoaderTwin({ python, io });
    const maker = batchMaker(threads);
    try {
      if (twin !== undefined) io.say(`twin: ${twin.description}, ${threads} workers`);
      const count = quick ? QUICK_IMAGES : IMAGES;
      const bar = io.progress('making JPEGs', count, 'images');
      const tree = await writeJpegTree(root, count, seed, (done) => bar.update(done)).finally(() => bar.stop());
      io.say(`${count} JPEGs of 300 to 500 pixels a side, ${(tree.bytes / count / 1000).toFixed(0)} kB each on average`);
      const split = (await openDataset(root)).split('train');
      const rows = [];
      for (const work of chosen) {
        if (signal.aborted) break;
        const ours: Contender = {
          name: 'ours',
          measure: (repeats) => measureCalls(() => pass(split, work.augmentation, maker, seed), repeats),
        };
        const theirs =
          twin === undefined || work.twin === undefined
            ? []
            : [await twin.contender({ root, kind: work.twin, side: SIDE, batch: BATCH, workers: threads })];
        // a first pass each: threads and processes start, files come into memory
        for (const contender of [ours, ...theirs]) await contender.measure(1);
        const { timings, otherProcessors } = await interleave([ours, ...theirs], {
          rounds,
          leastSampleMs: 0,
          stopped: () => signal.aborted,
        });
        const rates = timings.map(({ name, medianMs, medianProcessorMs }) => ({
          name,
          imagesPerSecond: (1000 * count) / medianMs,
          imagesPerProcessorSecond: (1000 * count) / medianProcessorMs,
        }));
        rows.push({ work: work.id, title: work.title, rates, otherProcessors });
      }
      for (const line of report(rows)) io.say(line);
      return { finished: !signal.aborted, images: count, bytes: tree.bytes, batch: BATCH, side: SIDE, workers: threads, rows };
    } finally {
      await maker.dispose();
      await twin?.close();
      await rm(root, { recursive: true, force: true });
    }
  },
};

/** Every image once. */
async function pass(split: ImageSplit, augmentation: Augmentation, maker: ReturnType<typeof batchMaker>, seed: number): Promise<void> {
  const sampler = new BatchSampler({ length: split.length, batchSize: BATCH, seed, dropLast: false });
  const plan = sequentialBatches(split.length, BATCH);
  const ahead = new Ahead(maker.workers + 1, () => {
    const { value: inOrder } = plan.next();
    if (inOrder === undefined) return undefined;
    const { indices, random } = augmentation.kind === 'none' ? { indices: inOrder, random: undefined } : sampler.next();
    return maker.make(batchTask(split, indices, { size: [SIDE, SIDE], resize: RESIZE, augmentation }, random));
  });
  while ((await ahead.next()) !== undefined);
}

interface Row {
  readonly title: string;
  readonly rates: readonly { readonly name: string; readonly imagesPerSecond: number; readonly imagesPerProcessorSecond: number }[];
  readonly otherProcessors: number;
}

function report(rows: readonly Row[]): readonly string[] {
  const cells = rows.map(({ title, rates: [ours, theirs], otherProcessors }) => [
    title,
    ours?.imagesPerSecond.toFixed(0) ?? '—',
    theirs?.imagesPerSecond.toFixed(0) ?? '—',
    ours === undefined || theirs === undefined ? '—' : ratio(ours.imagesPerSecond / theirs.imagesPerSecond),
    ours?.imagesPerProcessorSecond.toFixed(0) ?? '—',
    theirs?.imagesPerProcessorSecond.toFixed(0) ?? '—',
    ours === undefined || theirs === undefined ? '—' : ratio(ours.imagesPerProcessorSecond / theirs.imagesPerProcessorSecond),
    otherProcessors.toFixed(1),
  ]);
  const header = ['images a second', 'ours', 'PyTorch', 'ratio', 'ours a processor', 'PyTorch', 'ratio', 'other processors'];
  return textTable(header, cells);
}
