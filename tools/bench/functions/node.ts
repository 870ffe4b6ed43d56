/** A node in a process of its own, so that its CPU time can be told from the others'. */
import { startTestNode } from "../../../packages/testing/src/node.ts";

process.on("message", async (options: Parameters<typeof startTestNode>[0]) => {
  const node = await startTestNode(options);
  process.on("disconnect", async () => {
    await node.stop();
    process.exit();
  });
  process.send?.({ ready: true, id: node.id });
});
