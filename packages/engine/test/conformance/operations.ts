/** Every operation of the conformance suite. */
import { elementwiseOperations } from './elementwise-operations.ts';
import { networkOperations } from './network-operations.ts';
import type { Operation } from './operation.ts';
import { reductionOperations } from './reduction-operations.ts';
import { shapeOperations } from './shape-operations.ts';

export const operations: readonly Operation[] = [
  ...elementwiseOperations,
  ...reductionOperations,
  ...shapeOperations,
  ...networkOperations,
];
