/** The passes of an export, in the order in which each makes work for the next. */
import { eliminateDeadCode } from './eliminate-dead-code.ts';
import { foldBatchNorm } from './fold-batch-norm.ts';
import { foldConstantSums, foldConstants } from './fold-constants.ts';
import { mergePads } from './merge-pads.ts';
import { mergeReshapes } from './merge-reshapes.ts';
import { mergeTransposes } from './merge-transposes.ts';
import { nameAfterLayers } from './name-after-layers.ts';
import type { Pass } from './pass.ts';
import { shareCommonSubexpressions } from './share-common-subexpressions.ts';

const deadCode: Pass = {
  name: 'eliminate dead code',
  requires: [],
  ensures: [
    {
      name: 'nothing that no output needs',
      problem: (graph) => {
        const { nodes, constants } = eliminateDeadCode(graph);
        return nodes.length === graph.nodes.length && constants.size === graph.constants.size ? undefined : 'something is left';
      },
    },
  ],
  run: eliminateDeadCode,
};

/** The graph afterwards gives the same bits. */
export const exactPasses: readonly Pass[] = [
  foldConstants,
  mergeReshapes,
  mergeTransposes,
  // constants that a transpose moved over
  foldConstants,
  mergePads,
  shareCommonSubexpressions,
  deadCode,
  nameAfterLayers,
];

/** For a graph that is run, not trained: batch norms go into the convolutions before them and products of weights are computed, which rounds otherwise. */
export const inferencePasses: readonly Pass[] = [foldConstantSums, foldBatchNorm, ...exactPasses];
