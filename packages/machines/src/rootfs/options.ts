/** What a rootfs is made of. */
export interface RootfsOptions {
  /** The directory in which trees are kept, each under the digest of what it is made of. Made when missing. */
  output: string;
  /** The agent's file, which becomes `/usr/lib/nex/agent.mjs`. */
  agentPath: string;
  /** The Node binary, which becomes `/usr/bin/node`. Default: the one that runs this program. */
  nodePath?: string;
  /** Further files: their places in the tree, and where they are on this host. */
  files?: Record<string, string>;
}

/** A rootfs that has been built, or was there already. */
export interface Rootfs {
  /** The tree, for drivers that want a directory. Many machines may use it at once; nobody may write to it. */
  directory: string;
  manifest: RootfsManifest;
  /** It was built now, not found. */
  built: boolean;
}

/** What is in a tree. It stands in the tree itself, at `/usr/lib/nex/rootfs.json`. */
export interface RootfsManifest {
  /** Of everything below; also the tree's name. */
  digest: string;
  versions: { format: number; node: string; arch: string };
  /** By their places in the tree, in the order of their names. */
  files: Record<string, RootfsFile>;
}

/** One file of a tree. */
export interface RootfsFile {
  sha256: string;
  bytes: number;
  executable: boolean;
}

/** Where the Node binary and the agent's file stand in a tree. */
export const rootfsPaths = {
  node: "/usr/bin/node",
  agent: "/usr/lib/nex/agent.mjs",
  manifest: "/usr/lib/nex/rootfs.json",
} as const;
