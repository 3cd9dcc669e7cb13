/** What `coda bench engine` measures, with its goals. Not how: `our-work.ts`, `torch-twin.ts` and `alone.ts`. */
import type { ResnetOptions } from '@coda-nets/resnet';

/** Which activations come out with the logits: none, those after each stage, those after each block. */
export type TapChoice = 'none' | 'stages' | 'blocks';

interface WorkOf<Kind extends string> {
  readonly id: string;
  readonly label: string;
  readonly kind: Kind;
  /** A key of the networks. */
  readonly network: string;
  readonly batch: number;
}

/** Timed against PyTorch. */
export interface RunWork extends WorkOf<'forward' | 'train'> {
  /** How many times as long PyTorch has to take. */
  readonly goal?: number;
  /** On eager backends too, in a round or two: they take seconds. */
  readonly eager?: boolean;
}
/** One forward pass with and without taps, against each other. */
export interface TapsWork extends WorkOf<'taps'> {
  /** The most that the pass may take with all blocks, of what it takes without. */
  readonly goal: number;
}
/** From a function to a session that runs, in a process of its own. */
interface StartWork extends WorkOf<'start'> {
  readonly goalMs: number;
}
/** From a file of PyTorch's weights to ours, in a process of its own. */
interface LoadWork extends WorkOf<'load'> {
  readonly goalMs: number;
  /** The most memory, of the file's bytes. */
  readonly goalMemory: number;
}
export type EngineWork = RunWork | TapsWork | StartWork | LoadWork;

export interface EngineNetwork {
  readonly label: string;
  readonly config: ResnetOptions;
  /** Images in its largest batch. */
  readonly images: number;
}

export const engineNetworks: Readonly<Record<string, EngineNetwork>> = {
  r50: { label: 'ResNet-50 224×224', config: { kind: 'resnet', design: 'imagenet', depth: 50 }, images: 8 },
  r20: { label: 'ResNet-20 32×32', config: { kind: 'resnet', depth: 20 }, images: 128 },
};

export const engineWorks: readonly EngineWork[] = [
  { id: 'forward-50-1', label: 'forward', kind: 'forward', network: 'r50', batch: 1, goal: 1, eager: true },
  { id: 'forward-50-8', label: 'forward', kind: 'forward', network: 'r50', batch: 8, goal: 1 },
  { id: 'train-20', label: 'training step', kind: 'train', network: 'r20', batch: 128, goal: 0.8 },
  { id: 'train-50', label: 'training step', kind: 'train', network: 'r50', batch: 8, goal: 0.8 },
  { id: 'taps-50-1', label: 'forward with taps', kind: 'taps', network: 'r50', batch: 1, goal: 1.05 },
  { id: 'taps-50-8', label: 'forward with taps', kind: 'taps', network: 'r50', batch: 8, goal: 1.05 },
  { id: 'start-50', label: 'trace and session of the training step', kind: 'start', network: 'r50', batch: 8, goalMs: 5000 },
  { id: 'load-50', label: 'load PyTorch’s weights', kind: 'load', network: 'r50', batch: 1, goalMs: 500, goalMemory: 1.3 },
];
