# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that can be told to be a bad network: late, cut, or mute."""

import asyncio
import threading


class Proxy:
    """Forwards connections to 127.0.0.1:target until it is closed. The
    methods may be called from any thread; each has worked when it returns.

    delay   seconds that every piece of data is late, each way
    cut()   breaks every connection, and each new one at once
    mute()  keeps connections open and forwards nothing
    heal()  forwards again, what was held back first
    """

    def __init__(self, target, port=0):
        self.target = target
        self.delay = 0.0
        self.is_cut = False
        self.connections = 0  # since the beginning
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever,
                                       daemon=True)
        self.thread.start()
        self.port = self.call(self.listen(port))

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine,
                                                self.loop).result(30)

    async def listen(self, port):
        self.flows = asyncio.Event()
        self.flows.set()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1",
                                                 port)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.connections += 1
        if self.is_cut:
            writer.transport.abort()
            return
        pair = {writer}
        try:
            onward_reader, onward = await asyncio.open_connection(
                "127.0.0.1", self.target)
            pair.add(onward)
            self.writers |= pair
            await asyncio.gather(self.pump(reader, onward),
                                 self.pump(onward_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # nobody there, or the proxy closes
        finally:
            self.writers -= pair
            for w in pair:
                w.transport.abort()

    async def pump(self, reader, writer):
        """Forwards one way; each piece leaves self.delay after it came."""
        queue = asyncio.Queue(64)
        sender = asyncio.ensure_future(self.send(queue, writer))
        try:
            while True:
                data = await reader.read(65536)
                await queue.put((self.loop.time() + self.delay, data))
                if not data:
                    break
            await sender
        except OSError:
            pass
        finally:
            sender.cancel()
            writer.transport.abort()

    async def send(self, queue, writer):
        while True:
            when, data = await queue.get()
            await asyncio.sleep(max(0.0, when - self.loop.time()))
            await self.flows.wait()
            if not data:
                return
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                return

    async def abort_all(self):
        for writer in list(self.writers):
            writer.transport.abort()

    async def let_flow(self, flows):
        if flows:
            self.flows.set()
        else:
            self.flows.clear()

    def cut(self):
        self.is_cut = True
        self.call(self.abort_all())

    def mute(self):
        self.call(self.let_flow(False))

    def heal(self):
        self.is_cut = False
        self.delay = 0.0
        self.call(self.let_flow(True))

    async def stop(self):
        self.server.close()
        await self.abort_all()
        tasks = [t for t in asyncio.all_tasks()
                 if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        self.call(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
