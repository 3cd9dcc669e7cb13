/** What `coda bench dau` measures, with the goals against the twins. Not how: `our-work.ts` and `twins.ts`. */
import { codaPresets, type CodaConfig } from '@coda-nets/dau';

export interface DauWork {
  readonly id: string;
  readonly label: string;
  readonly network: string;
  readonly kind: 'train' | 'forward' | 'explain';
  readonly batch: number;
  /** Of an explanation: the input alone, or all taps. */
  readonly taps: 'input' | 'all';
  /** How much slower the twin has to be. */
  readonly goals: { readonly published?: number; readonly 'low-rank'?: number };
  /** Also measures how the published form explains one tap after the other; its goal, where the issue of all taps is judged by it. */
  readonly tapByTap?: boolean;
  /** Peak memory is measured too: the largest share of the published form's that is wanted. */
  readonly memoryGoal?: number;
}

/** A network of the bench: its name in labels, and its config. */
export interface BenchNetwork {
  readonly label: string;
  readonly config: CodaConfig;
  /** Images in its largest batch. */
  readonly images: number;
}

/** At which untrained weights give logits around b₀ ± 1, so that comparing them means something; costs are the same at any. */
const TEMPERATURE = 0.1;

export const presetNetworks: Readonly<Record<string, BenchNetwork>> = {
  s: { label: 'S-CoDA', config: { ...codaPresets['s-cifar10'], temperature: TEMPERATURE }, images: 16 },
  l: { label: 'L-CoDA 240×240', config: { ...codaPresets['l-imagenet100'], temperature: TEMPERATURE }, images: 1 },
};

export const dauWorks: readonly DauWork[] = [
  work('train-s', 'training step', 's', 'train', 16, { published: 10, 'low-rank': 2.5 }, { memoryGoal: 1 / 2 }),
  work('forward-s-16', 'forward', 's', 'forward', 16, { published: 8, 'low-rank': 1.5 }),
  work('forward-s-1', 'forward', 's', 'forward', 1, { published: 8, 'low-rank': 1.5 }),
  work('explain-s', 'forward + map at the input', 's', 'explain', 16, { published: 10, 'low-rank': 2 }),
  work('explain-s-all', 'forward + maps at all taps', 's', 'explain', 16, { published: 30 }, { taps: 'all', tapByTap: true }),
  work('explain-l', 'forward + map at the input', 'l', 'explain', 1, { published: 6, 'low-rank': 1.5 }, { memoryGoal: 1 / 4 }),
];

function work(
  id: string,
  label: string,
  network: string,
  kind: DauWork['kind'],
  batch: number,
  goals: DauWork['goals'],
  more: Partial<DauWork> = {},
): DauWork {
  return { id, label, network, kind, batch, taps: 'input', goals, ...more };
}
