"""Reads the served chain with the real SDK, commits and sets weights; prints what it saw as one JSON object.

Arguments: endpoint, folder of wallets, coldkey's name, hotkey's name, netuid. Versions 9 and 10 of the SDK have the
module `bittensor.core`, version 11 has another interface.
"""

import asyncio
import json
import sys

UIDS, WEIGHTS = [0, 1], [0.75, 0.25]


async def with_version_11(endpoint, wallets, cold, hot, netuid):
    import bittensor

    wallet = bittensor.Wallet(name=cold, hotkey=hot, path=wallets)
    calls = bittensor.calls
    async with bittensor.Subtensor(endpoint) as subtensor:
        block = await subtensor.block()
        header = await subtensor.block_info(block)
        neurons = await subtensor.read("neurons", netuid=netuid)
        info = {"fields": [[{"Raw128": "0x" + (b"x" * 128).hex()}]]}
        committed = await subtensor.submit_call(calls.Commitments.set_commitment(netuid, info), wallet, signer="hotkey")
        # Its own intent for weights reads storage that the runtimes which are served do not have yet.
        uids, values = bittensor.intents.normalize(UIDS, WEIGHTS)
        weights = calls.SubtensorModule.set_weights(netuid, uids, values, 0)
        weights = await subtensor.submit_call(weights, wallet, signer="hotkey")
        commitments = await subtensor.read("commitments", netuid=netuid)
        return {
            "block": block,
            "block_hash": header.hash,
            "hotkeys": [neuron.hotkey for neuron in neurons],
            "uids": [neuron.uid for neuron in neurons],
            "committed": committed.success,
            "commitments": {found["hotkey"]: ["Raw128", found["commitment"]] for found in commitments},
            "weights_set": weights.success,
            "message": weights.message,
        }


async def with_older_versions(endpoint, wallets, cold, hot, netuid):
    from bittensor.core.async_subtensor import AsyncSubtensor
    from bittensor_wallet import Wallet
    from scalecodec.utils.ss58 import ss58_encode

    wallet = Wallet(name=cold, hotkey=hot, path=wallets)
    async with AsyncSubtensor(network=endpoint) as subtensor:
        block = await subtensor.get_current_block()
        block_hash = await subtensor.get_block_hash(block)
        metagraph = await subtensor.metagraph(netuid)
        commit = getattr(subtensor, "commit", None) or subtensor.set_commitment
        committed = await commit(wallet, netuid, "x" * 128)
        is_set, message = await subtensor.set_weights(
            wallet, netuid, uids=UIDS, weights=WEIGHTS, wait_for_inclusion=True
        )
        commitments = {}
        query = await subtensor.substrate.query_map("Commitments", "CommitmentOf", params=[netuid])
        async for account, info in query:
            field = getattr(info, "value", info)["info"]["fields"][0]
            ((name, value),) = (field if isinstance(field, dict) else field[0]).items()
            # Version 9 shows accounts and values by their bytes.
            account = account if isinstance(account, str) else ss58_encode(bytes(account[0]).hex(), 42)
            value = bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value[0])
            commitments[account] = [name, value.decode()]
        return {
            "block": block,
            "block_hash": block_hash,
            "hotkeys": list(metagraph.hotkeys),
            "uids": [int(uid) for uid in metagraph.uids],
            "committed": bool(getattr(committed, "success", committed)),
            "commitments": commitments,
            "weights_set": is_set,
            "message": message,
        }


def main():
    endpoint, wallets, cold, hot, netuid = sys.argv[1:]
    try:
        import bittensor.core

        sees = with_older_versions
    except ModuleNotFoundError:
        sees = with_version_11
    print(json.dumps(asyncio.run(sees(endpoint, wallets, cold, hot, int(netuid)))))


main()
