/**
 * The kernel that a backend has for which a call costs more than what is done with a short vector: whoever does the same with many vectors joins them there, does it
 * once, and splits them again. inputs v0, v1, … [n₀], [n₁], … → [n₀ + n₁ + …]. Not a kernel of TensorFlow.js.
 */
export const joinVectorsKernel = 'JoinVectors';
