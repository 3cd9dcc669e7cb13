/** A training of milliseconds a step for the tests of ranks and `kill-ranks.mjs`. Without batch norm, so that it is the same whatever the number of ranks. Plain JavaScript: one runs from source, the other after a build. */

/** For `syntheticDataset`. */
export const rankImages = { classes: 10, perClass: 8, testPerClass: 2 };

export const rankTraining = /** @type {const} */ ({
  network: {
    kind: 'coda',
    inputShape: [32, 32, 3],
    classes: 10,
    temperature: 10,
    layers: [
      { out: 8, kernel: 3, stride: 4, padding: 1, rank: 4 },
      { out: 10, kernel: 1, rank: 4 },
    ],
  },
  learningRate: 1e-3,
  logEverySteps: 1,
  validation: { kind: 'test' },
});
