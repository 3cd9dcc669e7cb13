/**
 * What a graph becomes that runs on a GPU, where launches are dear and arithmetic is cheap. The numbers are those of the graph, to the rounding of sums in another
 * order.
 */
import { addInPairs } from './add-in-pairs.ts';
import { joinUpdates } from './join-updates.ts';
import { mergeReshapes } from './merge-reshapes.ts';
import type { Pass } from './pass.ts';
import { reduceInTwo } from './reduce-in-two.ts';

export const gpuPasses: readonly Pass[] = [addInPairs, reduceInTwo, joinUpdates, mergeReshapes];
