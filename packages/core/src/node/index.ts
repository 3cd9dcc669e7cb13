/** The file side of core, for Node only. */
export {};
