/** Whether a run has stopped getting better. Pure; the state is part of a checkpoint. */
import type { CheckpointState } from './checkpoint.ts';

export type PatienceState = CheckpointState['patience'];

/** After an epoch of this score, the higher the better: a first or better one is the new best; of any other it is counted how many there were since. */
export function nextPatience(state: PatienceState, epoch: number, score: number): NonNullable<PatienceState> {
  if (state === null || score > state.score) return { epoch, score, since: 0 };
  return { ...state, since: state.since + 1 };
}
