"""Reads the served chain with the real SDK, commits and sets weights; prints what it saw as one JSON object.

Arguments: endpoint, folder of wallets, coldkey's name, hotkey's name, netuid.
"""

import asyncio
import json
import sys

from bittensor.core.async_subtensor import AsyncSubtensor
from bittensor.core.chain_data import decode_account_id
from bittensor_wallet import Wallet


async def main():
    endpoint, wallets, cold, hot, netuid = sys.argv[1:]
    netuid = int(netuid)
    wallet = Wallet(name=cold, hotkey=hot, path=wallets)
    async with AsyncSubtensor(network=endpoint) as subtensor:
        block = await subtensor.get_current_block()
        block_hash = await subtensor.get_block_hash(block)
        metagraph = await subtensor.metagraph(netuid)
        committed = await subtensor.commit(wallet, netuid, "x" * 128)
        is_set, message = await subtensor.set_weights(
            wallet, netuid, uids=[0, 1], weights=[0.75, 0.25], wait_for_inclusion=True, max_retries=1
        )
        commitments = {}
        query = await subtensor.substrate.query_map("Commitments", "CommitmentOf", params=[netuid])
        async for account, info in query:
            (field,) = getattr(info, "value", info)["info"]["fields"][0]
            ((name, value),) = field.items()
            commitments[decode_account_id(account)] = [name, bytes(value[0]).decode()]
        seen = {
            "block": block,
            "block_hash": block_hash,
            "hotkeys": list(metagraph.hotkeys),
            "uids": [int(uid) for uid in metagraph.uids],
            "committed": committed,
            "commitments": commitments,
            "weights_set": is_set,
            "message": message,
        }
    print(json.dumps(seen))


asyncio.run(main())
