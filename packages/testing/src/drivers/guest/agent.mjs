// The test guest in the place where a rootfs has the agent.
import "./guest.ts";
