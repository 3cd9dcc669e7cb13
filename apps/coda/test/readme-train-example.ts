import { resolveEngine } from '@coda-nets/engine';
import { resnet } from '@coda-nets/resnet';
import { syntheticDataset, train } from '@coda-nets/train';

export async function trainSmall(out: string): Promise<number> {
  const { engine } = await resolveEngine();
  const { step } = await train({
    network: resnet({ kind: 'resnet', depth: 8, width: 4 }),
    dataset: syntheticDataset({ classes: 10, perClass: 4 }), // or await openDataset('cifar10')
    engine,
    config: { epochs: 2, batch: 10, learningRate: 1e-3, augmentation: { kind: 'flip' } },
    out, // the run folder; `resume: true` goes on with the run in it
    onEvent: (event) => event.type === 'epoch' && console.log(event.epoch, event.trainLoss),
  });
  return step;
}
